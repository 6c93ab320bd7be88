//! OpenSC's `pkcs11-tool`, which speaks PKCS #11 for this program: a process for each thing that the token is asked for.
//!
//! Invariant: a process ends with its time limit; whoever starts one has a [`Turn`], so few run at a time; the PIN goes to
//! them in their environment only. Once the token has refused the PIN, none is started that would try it again: tokens
//! lock themselves.

use super::objects::{self, Claims};
use super::{TokenError, TokenSettings, lock};
use std::fs::File;
use std::process::{Output, Stdio};
use std::sync::{PoisonError, RwLock};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Where the helper program finds the PIN.
const PIN_VARIABLE: &str = "KEY_SERVICE_TOKEN_PIN";
/// The longest reason that is repeated.
const TOLD_LIMIT: usize = 200;

/// A token, by way of the helper program.
pub(super) struct Tool {
    settings: TokenSettings,
    pin: String,
    turns: Semaphore,
    /// How the token has refused the PIN.
    refused: RwLock<Option<String>>,
}

/// Whoever has it may ask the token, for one thing after the other.
pub(super) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    /// The lock file, where nobody else may do what this one does.
    lock: Option<File>,
}

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading and signing.
    Use,
    /// Making keys.
    Make,
}

/// What a helper program reads.
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    /// Nothing is read from it, but it is open as long as the process lives.
    Held(File),
}

impl Tool {
    /// Reads the PIN and looks for the token; does not log in yet.
    pub(super) async fn new(settings: TokenSettings) -> Result<Self, TokenError> {
        let pin = read_pin(&settings)?;
        let module = &settings.module;
        std::fs::metadata(module).map_err(|source| TokenError::FindModule {
            path: module.clone(),
            source,
        })?;
        let tool = Self {
            turns: Semaphore::new(settings.at_once.get()),
            settings,
            pin,
            refused: RwLock::default(),
        };
        let turn = tool.turn(Purpose::Use).await?;
        let act = "list the tokens";
        let slots = tool
            .run(act, &["--list-token-slots"], false, Input::Nothing)
            .await?;
        drop(turn);
        objects::find_token(&String::from_utf8_lossy(&slots), &tool.settings.token)?;
        Ok(tool)
    }

    /// Waits until the token may be asked. It may be used by one process at a time unless the settings say more, and then
    /// keys are made by one at a time.
    pub(super) async fn turn(&self, purpose: Purpose) -> Result<Turn<'_>, TokenError> {
        let settings = &self.settings;
        let limit = settings.limit;
        let permit = timeout(limit, self.turns.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(TokenError::Busy { limit });
        };
        let is_alone = purpose == Purpose::Make || settings.at_once.get() == 1;
        let lock = if is_alone {
            Some(lock::take(&settings.lock_file, limit).await?)
        } else {
            None
        };
        Ok(Turn { _permit, lock })
    }

    /// What is on the token under our labels.
    pub(super) async fn claims(&self, _turn: &Turn<'_>) -> Result<Claims, TokenError> {
        let act = "list the keys on the token";
        let list = self.logged_in(act, &["--list-objects"], Input::Nothing);
        // Labels of others may be of any bytes; ours are ASCII.
        objects::claims(&String::from_utf8_lossy(&list.await?))
    }

    /// Makes a key pair on the token. The lock of the turn is held until the token has done so or the process is gone, even
    /// when this program ends meanwhile.
    pub(super) async fn generate(
        &self,
        turn: &Turn<'_>,
        label: &str,
        id: &str,
    ) -> Result<(), TokenError> {
        let lock = turn.lock.as_ref().map(File::try_clone).transpose();
        let lock = lock.map_err(|source| TokenError::Lock {
            path: self.settings.lock_file.clone(),
            source,
        })?;
        let arguments = [
            "--keypairgen",
            "--key-type=EC:prime256v1",
            "--usage-sign",
            "--sensitive",
            &format!("--label={label}"),
            &format!("--id={id}"),
        ];
        let act = "make a key pair on the token";
        let input = lock.map_or(Input::Nothing, Input::Held);
        self.logged_in(act, &arguments, input).await.map(drop)
    }

    /// Signs a SHA-256 hash: ECDSA in ASN.1. The hash is ours since not every token hashes before ECDSA.
    pub(super) async fn sign(
        &self,
        _turn: &Turn<'_>,
        id: &str,
        hash: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        let arguments = [
            "--sign",
            "--mechanism=ECDSA",
            "--signature-format=openssl",
            &format!("--id={id}"),
        ];
        let input = Input::Bytes(hash.to_vec());
        self.logged_in("sign with the token", &arguments, input)
            .await
    }

    async fn logged_in(
        &self,
        act: &'static str,
        arguments: &[&str],
        input: Input,
    ) -> Result<Vec<u8>, TokenError> {
        self.run(act, arguments, true, input).await
    }

    async fn run(
        &self,
        act: &'static str,
        arguments: &[&str],
        is_logged_in: bool,
        input: Input,
    ) -> Result<Vec<u8>, TokenError> {
        let limit = self.settings.limit;
        if let Some(code) = self.refusal() {
            return Err(self.pin_refused(code));
        }
        let mut command = self.command(arguments, is_logged_in);
        let output = match timeout(limit, self.output(act, &mut command, input)).await {
            // The process is killed where it is dropped.
            Err(_) => return Err(TokenError::Slow { act, limit }),
            Ok(output) => output?,
        };
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failure(act, &output))
    }

    fn command(&self, arguments: &[&str], is_logged_in: bool) -> Command {
        let settings = &self.settings;
        let mut command = Command::new(&settings.tool);
        command.arg("--module").arg(&settings.module);
        command
            .envs(settings.variables.iter().map(|(name, value)| (name, value)))
            // What it says is read, and must not be all that it knows.
            .env("LC_ALL", "C")
            .env_remove("OPENSC_DEBUG");
        if is_logged_in {
            command
                // As one argument: a label may begin with a dash.
                .arg(format!("--token-label={}", settings.token))
                .args(["--login", &format!("--pin=env:{PIN_VARIABLE}")])
                .env(PIN_VARIABLE, &self.pin);
        }
        command.args(arguments);
        command.kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn output(
        &self,
        act: &'static str,
        command: &mut Command,
        input: Input,
    ) -> Result<Output, TokenError> {
        let (stdin, bytes) = match input {
            Input::Nothing => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::Held(file) => (file.into(), None),
        };
        command.stdin(stdin);
        let mut child = command.spawn().map_err(|source| TokenError::Start {
            program: self.settings.tool.clone(),
            source,
        })?;
        if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), bytes) {
            // Who does not want to read says so by its end.
            let _ = stdin.write_all(&bytes).await;
        }
        let output = child.wait_with_output().await;
        output.map_err(|source| TokenError::Talk { act, source })
    }

    fn failure(&self, act: &'static str, output: &Output) -> TokenError {
        let said = String::from_utf8_lossy(&output.stderr);
        let token = || self.settings.token.clone();
        if let Some(code) = pin_code(&said) {
            let mut refused = self.refused.write().unwrap_or_else(PoisonError::into_inner);
            *refused = Some(code.clone());
            return self.pin_refused(code);
        }
        if said.lines().any(|line| line.starts_with("No slot")) {
            return TokenError::NoToken(token());
        }
        let told = reason(&said, &self.pin);
        if said.contains("Failed to load pkcs11 module") {
            let path = self.settings.module.clone();
            return TokenError::LoadModule { path, told };
        }
        let told = if told.is_empty() {
            format!("the helper program ended with {}", output.status)
        } else {
            told
        };
        TokenError::Refused { act, told }
    }

    fn refusal(&self) -> Option<String> {
        let refused = self.refused.read();
        refused.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pin_refused(&self, code: String) -> TokenError {
        let token = self.settings.token.clone();
        TokenError::Pin { token, code }
    }

    pub(super) fn settings(&self) -> &TokenSettings {
        &self.settings
    }
}

fn read_pin(settings: &TokenSettings) -> Result<String, TokenError> {
    let path = &settings.pin_file;
    let bytes = std::fs::read(path).map_err(|source| TokenError::ReadPin {
        path: path.clone(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| TokenError::PinForm(path.clone()))?;
    let pin = text.trim_end_matches(['\r', '\n']);
    if pin.is_empty() || pin.contains(['\r', '\n', '\0']) {
        return Err(TokenError::PinForm(path.clone()));
    }
    Ok(pin.to_owned())
}

/// The code of PKCS #11 (v2.40, 5.1.6) that says that the PIN is of no use.
fn pin_code(said: &str) -> Option<String> {
    let codes = said.split(|character: char| !is_of_code(character));
    let mut codes = codes.filter(|word| word.starts_with("CKR_PIN_"));
    codes.next().map(str::to_owned)
}

fn is_of_code(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_'
}

/// The line that says why, short, in one line, and without the PIN, whatever the module prints.
fn reason(said: &str, pin: &str) -> String {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let with_code = said.lines().find(|line| line.contains("CKR_"));
    let failed = said.lines().find(|line| line.contains("failed"));
    let error = said.lines().find(|line| line.starts_with("error:"));
    let line = with_code.or(failed).or(error).or_else(|| lines.next());
    let line = line.unwrap_or_default().trim_start_matches("error: ");
    let printable = line.chars().filter(|character| !character.is_control());
    let line: String = printable.collect();
    line.replace(pin, "***").chars().take(TOLD_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_and_do_not_tell_the_pin() {
        let said = "Using slot 0\nerror: PKCS11 function C_Sign failed: rv = CKR_DEVICE_REMOVED (0x32)\nAborting.\n";
        assert_eq!(
            reason(said, "1234"),
            "PKCS11 function C_Sign failed: rv = CKR_DEVICE_REMOVED (0x32)"
        );
        assert_eq!(pin_code(said), None);
        assert_eq!(
            reason("a module logs 1234\tin", "1234"),
            "a module logs ***in"
        );
        assert_eq!(reason(&"x".repeat(999), "1234").len(), TOLD_LIMIT);
        assert_eq!(reason("", "1234"), "");
    }

    #[test]
    fn codes_about_the_pin_are_known() {
        let told = |code: &str| pin_code(&format!("C_Login failed: rv = {code} (0xa0)"));
        for code in ["CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_PIN_EXPIRED"] {
            assert_eq!(told(code).as_deref(), Some(code));
        }
        // Nothing was tried.
        assert_eq!(told("CKR_USER_PIN_NOT_INITIALIZED"), None);
    }
}
