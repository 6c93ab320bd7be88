//! A key service that has failed once is asked for no signature any more, though it is asked whether it is there.
//!
//! Invariant: nothing is held against it before it has answered for the first time, so a mesh comes up; and the authority says
//! that it is ready, since what that rests on goes through.

use certificate_authority::keys::Connection;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::transport::Error;
use tonic::{Code, Status};
use tower::Service;

/// Asks until an answer has this code, and gives that answer to whoever wants a signature then.
#[derive(Clone)]
pub(crate) struct GivesUp {
    remote: Connection,
    after: Code,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    has_answered: AtomicBool,
    last_word: OnceLock<Status>,
}

impl GivesUp {
    /// A connection on which no signature is asked for once this was answered; [`Code::Unavailable`] also stands for no answer.
    pub(crate) fn after(code: Code, remote: Connection) -> Connection {
        Connection::new(Self {
            remote,
            after: code,
            heard: Arc::default(),
        })
    }
}

impl Service<Request<Body>> for GivesUp {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.remote.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wants_signature = request.uri().path().ends_with("/Sign");
        if let Some(told) = self.heard.last_word.get()
            && wants_signature
        {
            let told = told.clone().into_http();
            return async { Ok(told) }.boxed();
        }
        let answer = self.remote.call(request);
        let (after, heard) = (self.after, Arc::clone(&self.heard));
        async move {
            let answer = answer.await;
            heard.note(after, said(&answer));
            answer
        }
        .boxed()
    }
}

impl Heard {
    fn note(&self, after: Code, said: Status) {
        if said.code() == Code::Ok {
            self.has_answered.store(true, Ordering::Relaxed);
        } else if said.code() == after && self.has_answered.load(Ordering::Relaxed) {
            let _ = self.last_word.set(said);
        }
    }
}

/// What an answer says before its contents, where a refusal says all.
fn said(answer: &Result<Response<Body>, Error>) -> Status {
    match answer {
        Ok(response) => {
            Status::from_header_map(response.headers()).unwrap_or_else(|| Status::new(Code::Ok, ""))
        }
        Err(_) => Status::unavailable("the key service is given up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tower::{ServiceExt as _, service_fn};

    /// A key service that answers with this code.
    fn scripted(code: &Arc<Mutex<Code>>) -> Connection {
        let code = Arc::clone(code);
        Connection::new(service_fn(move |_: Request<Body>| {
            let told = Status::new(*code.lock().expect("not poisoned"), "told");
            async { Ok(told.into_http()) }
        }))
    }

    async fn asked(connection: &Connection, method: &str) -> Code {
        let request = Request::builder().uri(format!("http://keys/mesh.Keys/{method}"));
        let request = request.body(Body::empty()).expect("a request");
        let answer = connection.clone().oneshot(request).await;
        said(&answer).code()
    }

    #[tokio::test]
    async fn no_signature_is_asked_for_after_the_answer_that_is_held_against_it() {
        for (after, other) in [
            (Code::Unavailable, Code::PermissionDenied),
            (Code::PermissionDenied, Code::Unavailable),
        ] {
            let code = Arc::new(Mutex::new(after));
            let connection = GivesUp::after(after, scripted(&code));
            let now = |is: Code| *code.lock().expect("not poisoned") = is;
            assert_eq!(asked(&connection, "ListKeys").await, after);
            now(Code::Ok);
            assert_eq!(asked(&connection, "Sign").await, Code::Ok, "it was new");
            now(other);
            assert_eq!(asked(&connection, "ListKeys").await, other);
            now(Code::Ok);
            assert_eq!(asked(&connection, "Sign").await, Code::Ok);
            now(after);
            assert_eq!(asked(&connection, "ListKeys").await, after);
            now(Code::Ok);
            assert_eq!(asked(&connection, "Sign").await, after);
            assert_eq!(asked(&connection, "ListKeys").await, Code::Ok);
        }
    }
}
