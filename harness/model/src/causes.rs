//! What caused an error, in words.

use std::error::Error;

/// What caused an error: its source, the source of that, and so on.
pub fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// The words of an error and of each of its causes, outermost first. A cause that the one before has told already is left
/// out: some libraries put the source into their own words.
#[must_use]
pub fn words(error: &dyn Error) -> Vec<String> {
    let mut said = vec![error.to_string()];
    for cause in causes(error) {
        let text = cause.to_string();
        if !said.last().is_some_and(|last| last.ends_with(&text)) {
            said.push(text);
        }
    }
    said
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    words(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl std::fmt::Display for Layer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn causes_follow_the_error_outermost_first() {
        let root = Layer("disk on fire", None);
        let error = Layer(
            "load",
            Some(Box::new(Layer("read a", Some(Box::new(root))))),
        );
        assert_eq!(chain(&error), "load: read a: disk on fire");
        assert_eq!(causes(&error).count(), 2);
    }

    #[test]
    fn what_was_told_already_is_not_told_again() {
        let root = Layer("no such file", None);
        let error = Layer("read `a`: no such file", Some(Box::new(root)));
        assert_eq!(words(&error), ["read `a`: no such file"]);
        assert_eq!(chain(&error), "read `a`: no such file");
    }
}
