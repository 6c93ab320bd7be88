//! Whether the documents of a run hold a private key: they are written after the run itself was searched for them.

use crate::exit_code::ExitCode;
use crate::output;
use harness_cluster::exposure;
use harness_report::record::RunRecord;
use std::path::Path;

/// Searches the folder of a run once more, and notes in the record what was not known yet. None when there was nothing; else
/// what the run ends with now, and the documents are to be written anew.
pub(super) fn search(folder: &Path, record: &mut RunRecord, exit: ExitCode) -> Option<ExitCode> {
    let mut sum = record.sum();
    let mut search = exposure::keys_in_files(folder);
    search.found.retain(|file| !sum.exposed_keys.contains(file));
    search
        .not_searched
        .retain(|what| !sum.not_searched.contains(what));
    if search.found.is_empty() && search.not_searched.is_empty() {
        return None;
    }
    for file in &search.found {
        output::say(&format!("error: a private key is in {file}"));
    }
    for what in &search.not_searched {
        output::say(&format!("error: not searched for private keys: {what}"));
    }
    let exit = match exit {
        ExitCode::Success | ExitCode::Inconclusive if !search.found.is_empty() => {
            ExitCode::ScenarioFailed
        }
        ExitCode::Success => ExitCode::Inconclusive,
        exit => exit,
    };
    sum.exposed_keys.extend(search.found);
    sum.not_searched.extend(search.not_searched);
    record.summary = Some(sum);
    Some(exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_report::record::Context;

    #[test]
    fn a_key_in_a_document_is_told_by_the_documents_and_by_the_exit_code() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut record = RunRecord::new(Context::default());
        assert_eq!(search(folder.path(), &mut record, ExitCode::Success), None);
        let file = folder.path().join("report.html");
        std::fs::write(&file, "-----BEGIN EC PRIVATE KEY-----\nMHc\n").expect("written");
        let exit = search(folder.path(), &mut record, ExitCode::Success);
        assert_eq!(exit, Some(ExitCode::ScenarioFailed));
        assert_eq!(record.sum().exposed_keys, [file.display().to_string()]);
        let again = search(folder.path(), &mut record, ExitCode::ScenarioFailed);
        assert_eq!(again, None, "it is known");
    }

    #[test]
    fn what_cannot_be_searched_is_not_green() {
        let no_folder = tempfile::NamedTempFile::new().expect("a file");
        let mut record = RunRecord::new(Context::default());
        let exit = search(no_folder.path(), &mut record, ExitCode::Success);
        assert_eq!(exit, Some(ExitCode::Inconclusive));
        assert_eq!(record.sum().not_searched.len(), 1);
    }
}
