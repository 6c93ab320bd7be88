//! The same run without root: everything happens in a user namespace.

use crate::baseline::{Baseline, Footprint};
use crate::meshproof::{Place, users_cache};
use std::path::Path;
use std::process::Command;

/// `nobody`: a user that owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn an_ordinary_user_gets_the_same_verdicts() {
    let root = nix::unistd::geteuid().is_root();
    // As an ordinary user the whole test suite already is this test; root takes nobody's place for it.
    let place = if root {
        let place = Place::new().owned_by(NOBODY);
        let cache = place.path().join("cache");
        copy_assets(&users_cache(), &cache);
        place.with_cache(cache)
    } else {
        Place::new()
    };
    let before = Baseline::take(&place.folders);
    let output = place
        .command(&[
            "run",
            "delivery-scope/application",
            "routing",
            "--color",
            "never",
        ])
        .output()
        .expect("the built binary starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("PASS delivery-scope/application"), "{said}");
    before.is_restored(
        &place.folders,
        &Footprint::default(),
        "after a run as an ordinary user",
    );
}

/// Gives the assets of `from` to nobody. Root's home cannot be read by others, and rights are part of the test.
/// Nothing else of the cache: an engine that runs keeps its data there.
fn copy_assets(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("the test's own folder takes a cache");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(from.join("assets"))
        .arg(to)
        .status()
        .expect("`cp` starts");
    assert!(
        copied.success(),
        "the assets of {} can be copied",
        from.display()
    );
    let given = Command::new("chown")
        .args(["-R", &format!("{NOBODY}:{NOBODY}")])
        .arg(to)
        .status()
        .expect("`chown` starts");
    assert!(given.success(), "root can give files away");
}
