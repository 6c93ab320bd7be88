//! As OpenSC 0.23 prints it for SoftHSM 2.6.

use super::*;

const OBJECTS: &str = "\
Private Key Object; EC
  label:      meshproof/root/1
  ID:         0a01
  Usage:      decrypt, sign, unwrap
  Access:     sensitive, always sensitive, never extractable, local
Public Key Object; EC  EC_POINT 256 bits
  EC_POINT:   044104a92abe2a5c69e4e704aca2e3c5441ab1963ebdc54a53efea321c06b78ced46d575b39a5687c387decdc3b07d2ee2f52b3866f77e1e3d3c364126cf3c18704751
  EC_PARAMS:  06082a8648ce3d030107
  label:      meshproof/root/1
  ID:         0a01
  Usage:      encrypt, verify, wrap
  Access:     local
Private Key Object; EC
  label:      meshproof/root/2
  ID:         0a02
  Usage:      sign
  Access:     sensitive, extractable, local
Public Key Object; RSA 2048 bits
  label:      meshproof/root/2
  ID:         0a03
  Usage:      encrypt, verify, wrap
  Access:     local
Public Key Object; RSA 2048 bits
  label:      of somebody else
  Usage:      encrypt, verify, wrap
";

const SLOTS: &str = "\
Available slots:
Slot 0 (0x5858cb54): SoftHSM slot ID 0x5858cb54
  token label        : keys
  token flags        : login required, rng, token initialized, PIN initialized, other flags=0x20
Slot 1 (0x1): another
  token label        : nearly
  token flags        : login required, final user PIN try
Slot 2 (0x2): another
  token label        : locked
  token flags        : login required, user PIN locked
Slot 3 (0x3): another
  token label        : twice
Slot 4 (0x4): another
  token label        : twice
Slot 5 (0x5): SoftHSM slot ID 0x1
  token state:   uninitialized
";

#[test]
fn objects_are_put_together_by_version_and_id() {
    let name = "root".parse::<KeyName>().expect("a name");
    let claims = claims(OBJECTS).expect("understood");
    assert_eq!(claims.len(), 2, "{claims:?}");
    let first = &claims[&(name.clone(), 1)]["0a01"];
    assert_eq!(first.private_stays, Some(true));
    let point = first.public.clone().flatten().expect("a point");
    assert_eq!((point.len(), &point[..3]), (65, &[4, 0xa9, 0x2a][..]));
    let second = &claims[&(name, 2)];
    assert_eq!(second["0a02"].private_stays, Some(false));
    assert_eq!(second["0a03"].public, Some(None), "no key on P-256");
    assert_eq!(second["0a03"].private_stays, None);
}

#[test]
fn a_key_of_ours_has_an_id() {
    let list = "Private Key Object; EC\n  label:      meshproof/root/1\n";
    assert!(matches!(claims(list), Err(TokenError::Understand(_))));
}

#[test]
fn a_version_has_one_label() {
    let name = "a-1".parse::<KeyName>().expect("a name");
    assert_eq!(label(&name, 7), "meshproof/a-1/7");
    assert_eq!(name_and_version("meshproof/a-1/7"), Some((name, 7)));
    for other in [
        "meshproof/a-1",
        "meshproof/a-1/07",
        "meshproof/a-1/+7",
        "meshproof/a-1/0",
        "meshproof/a-1/7/",
        "meshproof/A/7",
        "other/a-1/7",
        "",
    ] {
        assert_eq!(name_and_version(other), None, "{other}");
    }
}

#[test]
fn a_token_is_found_by_its_label_and_its_pin_is_spared() {
    assert!(find_token(SLOTS, "keys").is_ok());
    let told = |label| find_token(SLOTS, label).expect_err("no").to_string();
    assert!(told("nearly").contains("final user PIN try"));
    assert!(told("locked").contains("user PIN locked"));
    assert!(told("twice").contains("shows 2"));
    assert!(told("key").contains("shows none"));
}

#[test]
fn hexadecimal_both_ways() {
    assert_eq!(to_hex(&[0, 0xab]), "00ab");
    assert_eq!(from_hex("00ab"), Some(vec![0, 0xab]));
    assert_eq!((from_hex("0"), from_hex("0g")), (None, None));
}
