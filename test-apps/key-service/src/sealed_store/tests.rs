//! The store in a folder of a real disk: with the wrong key, damaged, locked, not writable. What every back end must do is
//! in `tests/shared/conformance.rs`.

use super::*;
use crate::behaviour::Faithful;
use crate::keep::folder::{FILE, Folder, TEMPORARY};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

fn open(folder: &Path, byte: u8) -> Result<SealedStore<Folder>, OpenStoreError> {
    let master = MasterKey::new(vec![byte; 32]).expect("long enough");
    SealedStore::open(Folder::take(folder)?, master, Arc::new(Faithful))
}

fn name(name: &str) -> KeyName {
    name.parse().expect("a name")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn another_master_key_or_a_damaged_file_is_refused_and_the_file_stays() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    store.create(&name("root")).expect("made");
    drop(store);
    let path = folder.path().join(FILE);
    let before = std::fs::read(&path).expect("the file");

    let refused = |byte: u8| match open(folder.path(), byte) {
        Err(OpenStoreError::Sealed { source, .. }) => source,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    };
    assert_eq!(refused(2), OpenError::Seal);
    assert_eq!(std::fs::read(&path).expect("the file"), before);

    let mut damaged = before.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, &damaged).expect("written");
    assert_eq!(refused(1), OpenError::Seal);
    std::fs::write(&path, b"").expect("written");
    assert_eq!(refused(1), OpenError::Form);
    assert_eq!(std::fs::read(&path).expect("the file"), b"");

    std::fs::write(&path, before).expect("written");
    assert_eq!(
        open(folder.path(), 1)
            .expect("whole again")
            .list()
            .expect("a list")
            .len(),
        1
    );
}

#[test]
fn the_file_is_for_its_owner_alone_and_what_a_crash_left_is_written_over() {
    let folder = folder();
    let inner = folder.path().join("keys");
    std::fs::create_dir(&inner).expect("made");
    std::fs::write(inner.join(TEMPORARY), b"half").expect("written");
    let store = open(&inner, 1).expect("a new store");
    store.create(&name("root")).expect("made");
    let mode = |file: &str| {
        let metadata = std::fs::metadata(inner.join(file)).expect("a file");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(FILE), 0o600);
    assert!(!inner.join(TEMPORARY).exists());
}

#[test]
fn a_folder_has_one_user() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    assert!(matches!(
        open(folder.path(), 1),
        Err(OpenStoreError::Keep(KeepError::Locked(_)))
    ));
    drop(store);
    assert!(open(folder.path(), 1).is_ok());
}

#[test]
fn a_key_that_cannot_be_kept_is_not_told_of() {
    let folder = folder();
    let inner = folder.path().join("keys");
    let store = open(&inner, 1).expect("a new store");
    store.create(&name("root")).expect("made");
    // The temporary file cannot be made where a folder has its name.
    std::fs::create_dir(inner.join(TEMPORARY)).expect("made");
    assert!(matches!(
        store.rotate(&name("root"), 1),
        Err(KeyStoreError::Keep(_))
    ));
    assert_eq!(store.list().expect("a list").len(), 1);
}

/// Remembers what it is shown.
#[derive(Default)]
struct Notes(Mutex<Vec<(KeyName, Vec<u8>)>>);

impl Notes {
    fn take(&self) -> Vec<(KeyName, Vec<u8>)> {
        std::mem::take(&mut *self.0.lock().expect("whole"))
    }
}

impl Behaviour for Notes {
    fn before_using(&self, name: &KeyName, private: &[u8]) {
        let mut shown = self.0.lock().expect("whole");
        shown.push((name.clone(), private.to_vec()));
    }
}

#[test]
fn a_private_key_is_shown_to_the_behaviour_when_it_is_made_and_when_it_is_read() {
    let folder = folder();
    let notes = Arc::new(Notes::default());
    let open = || {
        let master = MasterKey::new(vec![1; 32]).expect("long enough");
        let keep = Folder::take(folder.path()).expect("nobody else has it");
        SealedStore::open(keep, master, notes.clone()).expect("it opens")
    };
    let store = open();
    store.create(&name("root")).expect("made");
    store.rotate(&name("root"), 1).expect("made");
    // It is there, so none is made.
    store.create(&name("root")).expect("it is there");
    drop(store);
    let made = notes.take();
    assert_eq!(made.len(), 2);
    for (of, private) in &made {
        assert_eq!(*of, name("root"));
        assert!(Entry::read(private.clone()).is_some());
    }
    drop(open());
    assert_eq!(notes.take(), made);
}

/// Seals nothing, and makes one key of each name.
struct Careless;

impl Behaviour for Careless {
    fn seals(&self) -> bool {
        false
    }

    fn makes_new_keys(&self) -> bool {
        false
    }
}

fn open_as(folder: &Path, behaviour: &Arc<dyn Behaviour>) -> SealedStore<Folder> {
    let master = MasterKey::new(vec![1; 32]).expect("long enough");
    let keep = Folder::take(folder).expect("nobody else has it");
    SealedStore::open(keep, master, Arc::clone(behaviour)).expect("it opens")
}

#[test]
fn keys_are_sealed_and_versions_are_different_keys_unless_the_behaviour_says_otherwise() {
    let behaviours: [(Arc<dyn Behaviour>, bool); 2] =
        [(Arc::new(Faithful), false), (Arc::new(Careless), true)];
    for (behaviour, is_careless) in behaviours {
        let folder = folder();
        let store = open_as(folder.path(), &behaviour);
        let first = store.create(&name("root")).expect("made");
        let other = store.create(&name("intermediate")).expect("made");
        assert_ne!(first.public_key, other.public_key);
        let second = store.rotate(&name("root"), 1).expect("made");
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(first.public_key == second.public_key, is_careless);
        let private = STANDARD.encode(&store.keys()[&name("root")][0].private);
        let kept = std::fs::read(folder.path().join(FILE)).expect("the file");
        let is_plain = String::from_utf8_lossy(&kept).contains(&private);
        assert_eq!(is_plain, is_careless);
        drop(store);
        let again = open_as(folder.path(), &behaviour);
        assert_eq!(again.list().expect("a list"), [other, first, second]);
    }
}

#[test]
fn who_seals_nothing_goes_on_with_what_was_sealed_and_nobody_takes_what_was_not() {
    let folder = folder();
    let sealed = open(folder.path(), 1).expect("a new store");
    let made = sealed.create(&name("root")).expect("made");
    drop(sealed);
    let careless: Arc<dyn Behaviour> = Arc::new(Careless);
    let store = open_as(folder.path(), &careless);
    assert_eq!(store.list().expect("a list"), [made]);
    store.create(&name("intermediate")).expect("made");
    drop(store);
    let refused = open(folder.path(), 1).err();
    let source = match refused {
        Some(OpenStoreError::Sealed { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source, OpenError::Form);
}

/// A shared place. From when on the test says so, whoever writes there meets it twice before anything is written.
struct Busy {
    kept: Mutex<Option<Vec<u8>>>,
    meeting: Arc<Meeting>,
}

struct Meeting {
    is_on: AtomicBool,
    place: Barrier,
}

impl Keep for Busy {
    fn load(&self) -> Result<Option<Vec<u8>>, KeepError> {
        Ok(self.kept.lock().expect("whole").clone())
    }

    fn look(&self) -> Result<Option<Vec<u8>>, KeepError> {
        self.load()
    }

    fn save(&self, sealed: &[u8]) -> Result<(), KeepError> {
        if self.meeting.is_on.load(Ordering::SeqCst) {
            self.meeting.place.wait();
            self.meeting.place.wait();
        }
        *self.kept.lock().expect("whole") = Some(sealed.to_vec());
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "a busy place".to_owned()
    }
}

#[test]
fn nobody_who_signs_or_lists_waits_for_who_makes_a_key() {
    let meeting = Arc::new(Meeting {
        is_on: AtomicBool::new(false),
        place: Barrier::new(2),
    });
    let keep = Busy {
        kept: Mutex::default(),
        meeting: Arc::clone(&meeting),
    };
    let master = MasterKey::new(vec![1; 32]).expect("long enough");
    let store = SealedStore::open(keep, master, Arc::new(Faithful)).expect("a new store");
    store.create(&name("root")).expect("made");
    meeting.is_on.store(true, Ordering::SeqCst);
    let (told, served) = mpsc::channel();
    let (meanwhile, made) = std::thread::scope(|scope| {
        let making = scope.spawn(|| store.rotate(&name("root"), 1));
        meeting.place.wait();
        scope.spawn(|| {
            let is_signed = store.sign(&name("root"), 1, b"message").is_ok();
            // Nobody was told of it.
            let is_unknown = store.sign(&name("root"), 2, b"message").is_err();
            let listed = store.list().map(|all| all.len());
            told.send((is_signed, is_unknown, listed.ok()))
        });
        let meanwhile = served.recv_timeout(Duration::from_secs(30));
        // Also where nobody was served: who writes must not wait for ever.
        meeting.place.wait();
        (meanwhile, making.join().expect("no panic"))
    });
    assert_eq!(meanwhile, Ok((true, true, Some(1))));
    assert_eq!(made.expect("made").version, 2);
    assert_eq!(store.list().expect("a list").len(), 2);
}
