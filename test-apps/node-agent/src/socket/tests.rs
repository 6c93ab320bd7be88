//! On real sockets in folders of their own.

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    folder: tempfile::TempDir,
    bound: watch::Receiver<bool>,
    connections: mpsc::Receiver<io::Result<UnixStream>>,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), BindError>>,
}

fn start(folder: tempfile::TempDir) -> Running {
    start_as(folder, Arc::new(crate::behaviour::Faithful))
}

fn start_as(folder: tempfile::TempDir, behaviour: Arc<dyn Behaviour>) -> Running {
    let (sender, connections) = mpsc::channel(8);
    let shutdown = CancellationToken::new();
    let (bound, is_bound) = watch::channel(false);
    let socket = Socket {
        path: folder.path().join("deeper/sds.sock"),
        mode: 0o600,
        behaviour,
        bound,
        metrics: Arc::default(),
    };
    Running {
        serving: tokio::spawn(socket.serve(sender, shutdown.clone())),
        folder,
        bound: is_bound,
        connections,
        shutdown,
    }
}

impl Running {
    fn path(&self) -> PathBuf {
        self.folder.path().join("deeper/sds.sock")
    }

    async fn is_bound(&mut self) {
        let bound = async {
            self.bound.changed().await.expect("serving");
            self.bound.wait_for(|bound| *bound).await.map(drop)
        };
        let bound = tokio::time::timeout(PATIENCE, bound).await;
        bound.expect("in time").expect("serving");
    }

    async fn is_reached(&mut self) {
        let _client = UnixStream::connect(self.path()).await.expect("listens");
        let accepted = tokio::time::timeout(PATIENCE, self.connections.recv()).await;
        assert!(matches!(accepted, Ok(Some(Ok(_)))));
    }

    async fn end(self) -> tempfile::TempDir {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.serving).await;
        ended.expect("in time").expect("no panic").expect("bound");
        self.folder
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_socket_is_there_with_its_mode_until_the_end() {
    let mut running = start(folder());
    running.is_bound().await;
    running.is_reached().await;
    let mode = fs::metadata(running.path()).expect("is there").mode();
    assert_eq!(mode & 0o777, 0o600);
    let path = running.path();
    let folder = running.end().await;
    assert!(!path.exists());
    let left = fs::read_dir(folder.path().join("deeper")).expect("is there");
    assert_eq!(left.count(), 0);
}

/// Lets everybody dial.
struct Open;

impl Behaviour for Open {
    fn socket_mode(&self, _set: u32) -> u32 {
        0o666
    }
}

#[tokio::test(start_paused = true)]
async fn the_mode_is_what_is_decided_and_a_socket_that_has_it_is_left_alone() {
    let running = start_as(folder(), Arc::new(Open));
    let mut bound = running.bound.clone();
    let is_bound = tokio::time::timeout(PATIENCE, bound.wait_for(|bound| *bound)).await;
    is_bound.expect("in time").expect("serving");
    let file = identify(&running.path()).expect("is there");
    let mode = fs::metadata(running.path()).expect("is there").mode();
    assert_eq!(mode & 0o7777, 0o666);
    // It is looked at once a second.
    let changed = tokio::time::timeout(LOOK + LOOK / 2, bound.wait_for(|bound| !*bound)).await;
    assert!(changed.is_err(), "it is made again");
    assert_eq!(identify(&running.path()).expect("is there"), file);
    running.end().await;
}

#[tokio::test]
async fn what_an_earlier_agent_left_is_replaced() {
    let folder = folder();
    fs::create_dir(folder.path().join("deeper")).expect("made");
    for left in ["sds.sock", "sds.sock.new"] {
        let path = folder.path().join("deeper").join(left);
        drop(std::os::unix::net::UnixListener::bind(path).expect("bound"));
    }
    let mut running = start(folder);
    running.is_bound().await;
    running.is_reached().await;
    running.end().await;
}

#[tokio::test]
async fn a_file_is_not_replaced() {
    let folder = folder();
    fs::create_dir(folder.path().join("deeper")).expect("made");
    fs::write(folder.path().join("deeper/sds.sock"), "precious").expect("written");
    let running = start(folder);
    let path = running.path();
    let error = running
        .serving
        .await
        .expect("no panic")
        .expect_err("refused");
    assert!(matches!(error, BindError::NoSocket(_)), "{error}");
    assert_eq!(fs::read_to_string(path).expect("kept"), "precious");
}

#[tokio::test]
async fn a_socket_that_was_removed_or_replaced_is_bound_again() {
    let mut running = start(folder());
    running.is_bound().await;
    fs::remove_file(running.path()).expect("was there");
    running.is_bound().await;
    running.is_reached().await;

    fs::remove_file(running.path()).expect("was there");
    let other = std::os::unix::net::UnixListener::bind(running.path()).expect("bound");
    running.is_bound().await;
    running.is_reached().await;
    drop(other);
    running.end().await;
}

#[tokio::test]
async fn a_socket_that_has_lost_its_mode_is_made_again_and_connections_live_on() {
    let mut running = start(folder());
    running.is_bound().await;
    let client = UnixStream::connect(running.path()).await.expect("listens");
    let accepted = running.connections.recv().await.expect("serving");
    fs::set_permissions(running.path(), Permissions::from_mode(0o000)).expect("ours");
    running.is_bound().await;
    let mode = fs::metadata(running.path()).expect("is there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    running.is_reached().await;

    client.try_write(b"x").expect("connected");
    let accepted = accepted.expect("accepted");
    let readable = tokio::time::timeout(PATIENCE, accepted.readable()).await;
    readable.expect("in time").expect("connected");
    assert_eq!(accepted.try_read(&mut [0]).expect("connected"), 1);
    running.end().await;
}

#[tokio::test]
async fn the_socket_of_somebody_else_is_not_removed_in_the_end() {
    let mut running = start(folder());
    running.is_bound().await;
    let path = running.path();
    fs::remove_file(&path).expect("was there");
    let _other = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let _folder = running.end().await;
    assert!(path.exists());
}
