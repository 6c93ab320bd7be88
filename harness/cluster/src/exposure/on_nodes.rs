//! Files on the disks of nodes, which nodes look through themselves.

use super::Search;
use super::kept::within;
use std::path::Path;

/// What a node says that looks through one of its folders: every place with the name of the node.
pub(crate) async fn on_node(
    node: &str,
    folder: &Path,
    look: impl Future<Output = Result<Search, String>>,
) -> Search {
    let search = within(look).await.unwrap_or_else(|why| Search {
        not_searched: vec![format!("{}: {why}", folder.display())],
        ..Search::default()
    });
    search.each_after(&format!("{node}:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_node_says_is_told_with_its_name_and_its_silence_too() {
        let said = r#"{"found": ["/run/agent/key"], "notSearched": ["/run/agent/long: too long"]}"#;
        let said: Search = serde_json::from_str(said).unwrap();
        let folder = Path::new("/run/agent");
        let told = on_node("east-1", folder, async { Ok(said) }).await;
        assert_eq!(told.found, ["east-1:/run/agent/key"]);
        assert_eq!(told.not_searched, ["east-1:/run/agent/long: too long"]);
        let silent = on_node("east-2", folder, async { Err("no power".to_owned()) }).await;
        assert!(silent.found.is_empty());
        assert_eq!(silent.not_searched, ["east-2:/run/agent: no power"]);
    }
}
