//! Whom the permissions of a Unix socket let dial.

use harness_model::asking::{Answer, DenialCause};

/// Write permission for others than the owner: who dials a socket needs it (unix(7)).
const WRITTEN_BY_OTHERS: u32 = 0o022;
/// Search permission for others than the owner: who goes through a folder needs it (path_resolution(7)).
const SEARCHED_BY_OTHERS: u32 = 0o011;

/// What becomes of a user who owns neither the socket nor its folder. Whether he is in the group of one of them is not known: what
/// a group may do, some other user may.
pub(super) fn judged(socket: u32, folder: u32) -> Answer {
    let told = format!("mode {socket:04o}, in a folder of mode {folder:04o}");
    if socket & WRITTEN_BY_OTHERS != 0 && folder & SEARCHED_BY_OTHERS != 0 {
        return Answer::LetIn { how: told };
    }
    Answer::Denied {
        code: told,
        message: "nobody but the owner may dial".to_owned(),
        cause: Some(DenialCause::OtherUser),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dials_must_get_through_the_folder_and_may_write_to_the_socket() {
        for (socket, folder, lets_in) in [
            (0o600, 0o755, false),
            (0o644, 0o755, false),
            (0o666, 0o755, true),
            (0o777, 0o755, true),
            (0o660, 0o755, true),
            (0o602, 0o711, true),
            (0o666, 0o700, false),
            (0o666, 0o710, true),
        ] {
            let answer = judged(socket, folder);
            let told = matches!(answer, Answer::LetIn { .. });
            assert_eq!(told, lets_in, "{socket:04o} {folder:04o}: {answer:?}");
        }
        let Answer::Denied { code, cause, .. } = judged(0o600, 0o755) else {
            panic!("nobody is let in");
        };
        assert_eq!(code, "mode 0600, in a folder of mode 0755");
        assert_eq!(cause, Some(DenialCause::OtherUser));
    }
}
