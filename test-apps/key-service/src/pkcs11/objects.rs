//! What `pkcs11-tool` prints about a token and what is on it.

use super::TokenError;
use crate::store::KeyName;
use std::collections::BTreeMap;

/// What the labels (`CKA_LABEL`) of all our keys begin with.
const PREFIX: &str = "meshproof";
/// `CKA_EC_PARAMS` of P-256: its object identifier, DER (RFC 5480, 2.1.1.1).
const P256: &str = "06082a8648ce3d030107";
/// `CKA_EC_POINT` of P-256: an OCTET STRING of 65 bytes, the first of which says that the point is uncompressed.
const POINT_HEADER: [u8; 3] = [0x04, 0x41, 0x04];

/// Whose private key and public key they are: the label of both.
pub(super) fn label(name: &KeyName, version: u32) -> String {
    format!("{PREFIX}/{name}/{version}")
}

/// The opposite of [`label`]; none where the object is none of ours.
fn name_and_version(label: &str) -> Option<(KeyName, u32)> {
    let mut parts = label.split('/');
    let (_, name, version) = (parts.next()?, parts.next()?, parts.next()?);
    let (name, version) = (name.parse().ok()?, version.parse().ok()?);
    // One version has one label: `01` is none.
    (version > 0 && self::label(&name, version) == label).then_some((name, version))
}

/// What is on a token under our labels: by version and `CKA_ID`.
pub(super) type Claims = BTreeMap<(KeyName, u32), BTreeMap<String, Claim>>;

/// The halves of a key pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// Where there is a private key: whether it can never leave the token.
    pub(super) private_stays: Option<bool>,
    /// Where there is a public key: its point (SEC 1, 2.3.3), if it is one on P-256.
    pub(super) public: Option<Option<Vec<u8>>>,
}

impl Claim {
    /// Whether one half is missing.
    pub(super) fn is_half(&self) -> bool {
        self.private_stays.is_none() || self.public.is_none()
    }
}

/// Reads what `--list-objects` says after a login.
pub(super) fn claims(list: &str) -> Result<Claims, TokenError> {
    let mut claims = Claims::new();
    for object in blocks(list, |line| !line.starts_with(' ')) {
        let is_private = object.title.starts_with("Private Key Object");
        let is_public = object.title.starts_with("Public Key Object");
        let known = object.field("label").and_then(name_and_version);
        let Some(version) = known.filter(|_| is_private || is_public) else {
            continue;
        };
        let id = object
            .field("ID")
            .ok_or(TokenError::Understand("a key of ours has no CKA_ID"))?;
        let claim = claims
            .entry(version)
            .or_default()
            .entry(id.to_owned())
            .or_default();
        if is_private {
            let access = object.field("Access").unwrap_or_default();
            let says = |wanted| access.split(", ").any(|word| word == wanted);
            claim.private_stays = Some(says("sensitive") && says("never extractable"));
        } else {
            claim.public = Some(point(&object));
        }
    }
    Ok(claims)
}

fn point(object: &Block<'_>) -> Option<Vec<u8>> {
    if object.field("EC_PARAMS") != Some(P256) {
        return None;
    }
    let bytes = from_hex(object.field("EC_POINT")?)?;
    let is_point = bytes.len() == 67 && bytes.starts_with(&POINT_HEADER);
    is_point.then(|| bytes[2..].to_vec())
}

/// Looks for the token of this label in what `--list-token-slots` says, and at what it says about its PIN.
pub(super) fn find_token(list: &str, label: &str) -> Result<(), TokenError> {
    let tokens: Vec<_> = blocks(list, |line| line.starts_with("Slot "))
        .into_iter()
        .filter(|slot| slot.field("token label") == Some(label))
        .collect();
    let [token] = tokens.as_slice() else {
        return Err(match tokens.len() {
            0 => TokenError::NoToken(label.to_owned()),
            count => TokenError::ManyTokens {
                label: label.to_owned(),
                count,
            },
        });
    };
    let flags = token.field("token flags").unwrap_or_default();
    for flag in ["final user PIN try", "user PIN locked"] {
        if flags.split(", ").any(|told| told == flag) {
            let token = label.to_owned();
            return Err(TokenError::PinNotTried { token, flag });
        }
    }
    Ok(())
}

/// A line and the `NAME: VALUE` lines below it.
struct Block<'a> {
    title: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Block<'a> {
    fn field(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter();
        fields.find(|(known, _)| *known == name).map(|(_, v)| *v)
    }
}

fn blocks(text: &str, is_title: impl Fn(&str) -> bool) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines() {
        if is_title(line) {
            let fields = Vec::new();
            blocks.push(Block {
                title: line,
                fields,
            });
        } else if let (Some(block), Some((name, value))) = (blocks.last_mut(), line.split_once(':'))
        {
            block.fields.push((name.trim(), value.trim()));
        }
    }
    blocks
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| value.try_into().ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// Bytes as `--id` takes them and the list tells them.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
