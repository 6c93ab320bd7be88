//! A token of SoftHSM in a temporary folder.

use key_service::pkcs11::{TokenError, TokenSettings, TokenStore};
use key_service::store::KeyStore;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const LABEL: &str = "keys of tests";
/// Found in no text but this one by accident.
pub(crate) const PIN: &str = "59072-pin-of-the-user";
const OTHER_PIN: &str = "81346-pin-of-the-officer";
/// Where Debian and Fedora put the library.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
];

/// A token, and a runtime for those who use it.
pub(crate) struct SoftHsm {
    folder: TempDir,
    runtime: Runtime,
}

impl SoftHsm {
    pub(crate) fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            runtime: Runtime::new().expect("a runtime"),
        };
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            made.tokens().display()
        );
        std::fs::write(made.path("softhsm2.conf"), configuration).expect("written");
        std::fs::write(made.path("pin"), format!("{PIN}\n")).expect("written");
        made.make_token();
        made
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes the token anew, without keys.
    pub(crate) fn make_token(&self) {
        let _ = std::fs::remove_dir_all(self.tokens());
        std::fs::create_dir(self.tokens()).expect("made");
        let pins = [format!("--pin={PIN}"), format!("--so-pin={OTHER_PIN}")];
        let label = format!("--label={LABEL}");
        let output = self
            .command("softhsm2-util")
            .args(["--init-token", "--free", &label])
            .args(pins)
            .output();
        let output = output.expect("softhsm2-util, of Debian's package softhsm2");
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the token is.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.path("tokens")
    }

    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let file = |name: &str| self.path(name).display().to_string();
        vec![
            ("SOFTHSM2_CONF".to_owned(), file("softhsm2.conf")),
            ("LOG".to_owned(), file("tool.log")),
            ("HANG".to_owned(), file("hang")),
            ("RIVAL".to_owned(), file("rival")),
        ]
    }

    pub(crate) fn settings(&self) -> TokenSettings {
        TokenSettings {
            module: module(),
            token: LABEL.to_owned(),
            pin_file: self.path("pin"),
            tool: tool(),
            lock_file: self.path("token.lock"),
            at_once: NonZeroUsize::MIN,
            limit: Duration::from_secs(60),
            variables: self.variables(),
        }
    }

    pub(crate) fn open(&self, settings: &TokenSettings) -> Result<Arc<dyn KeyStore>, TokenError> {
        let store = TokenStore::open(settings, self.runtime.handle().clone())?;
        Ok(Arc::new(store))
    }

    pub(crate) fn store(&self) -> Arc<dyn KeyStore> {
        self.open(&self.settings()).expect("opened")
    }

    /// OpenSC's program itself, as an operator has it.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("pkcs11-tool");
        command.arg("--module").arg(module());
        command.args([&format!("--token-label={LABEL}"), "--login"]);
        command.arg(format!("--pin={PIN}")).args(arguments);
        command
            .output()
            .expect("pkcs11-tool, of Debian's package opensc")
    }

    /// The same, when it must do it.
    pub(crate) fn operator_does(&self, arguments: &[&str]) -> String {
        let output = self.operator(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the helper program was started with so far, and where each ended.
    pub(crate) fn tool_log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("tool.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// How often the helper program was started so far.
    pub(crate) fn starts(&self) -> usize {
        let log = self.tool_log();
        log.iter().filter(|line| line.starts_with('+')).count()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables());
        command
    }
}

pub(crate) fn module() -> PathBuf {
    let mut known = MODULES.iter().map(PathBuf::from);
    let module = known.find(|path| path.is_file());
    module.expect("SoftHSM's library, of Debian's package libsofthsm2")
}

pub(crate) fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/token/tool.sh")
}
