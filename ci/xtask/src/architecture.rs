//! `ARCHITECTURE.md` against Cargo: the table of crates and edges must say what the manifests say, both ways.

use crate::workspace;
use anyhow::{Context as _, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One row of the table, and one package of Cargo.
#[derive(Debug, PartialEq, Eq)]
struct Crate {
    folder: String,
    depends_on: BTreeSet<String>,
}

/// Names every difference; true when there is none.
pub(crate) fn check() -> anyhow::Result<bool> {
    let path = workspace::root().join("ARCHITECTURE.md");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let differences = differences(&table(&text)?, &packages(&workspace::metadata()?)?);
    for difference in &differences {
        eprintln!("{difference}");
    }
    Ok(differences.is_empty())
}

fn differences(
    documented: &BTreeMap<String, Crate>,
    actual: &BTreeMap<String, Crate>,
) -> Vec<String> {
    let names: BTreeSet<&String> = documented.keys().chain(actual.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| match (documented.get(name), actual.get(name)) {
            (Some(row), Some(package)) if row == package => None,
            (Some(row), Some(package)) => Some(format!(
                "{name}: ARCHITECTURE.md says {}, Cargo says {}",
                words(row),
                words(package)
            )),
            (Some(_), None) => Some(format!(
                "{name}: is in ARCHITECTURE.md, but Cargo does not know it"
            )),
            (None, _) => Some(format!("{name}: is not in ARCHITECTURE.md")),
        })
        .collect()
}

fn words(entry: &Crate) -> String {
    let edges: Vec<&str> = entry.depends_on.iter().map(String::as_str).collect();
    let edges = if edges.is_empty() {
        "nothing".to_owned()
    } else {
        edges.join(", ")
    };
    format!("`{}` depending on {edges}", entry.folder)
}

/// Rows of the form: | `crate` | `folder` | what it owns | `a` `b` or — |
fn table(text: &str) -> anyhow::Result<BTreeMap<String, Crate>> {
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, folder, _, edges] = cells[..] else {
            bail!("ARCHITECTURE.md: this row does not have four cells: {line}");
        };
        let row = Crate {
            folder: folder.trim_matches('`').to_owned(),
            depends_on: quoted(edges),
        };
        rows.insert(name.trim_matches('`').to_owned(), row);
    }
    if rows.is_empty() {
        bail!("ARCHITECTURE.md has no table of crates");
    }
    Ok(rows)
}

fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The members and their normal dependencies on each other.
fn packages(metadata: &serde_json::Value) -> anyhow::Result<BTreeMap<String, Crate>> {
    let root = metadata["workspace_root"]
        .as_str()
        .context("metadata has a root")?;
    let packages = metadata["packages"]
        .as_array()
        .context("metadata has packages")?;
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().context("a package has a name")?;
            let manifest = package["manifest_path"]
                .as_str()
                .context("a package has a manifest")?;
            let folder = Path::new(manifest)
                .parent()
                .context("a manifest is in a folder")?;
            let folder = folder
                .strip_prefix(root)
                .context("a member is in the workspace")?;
            let dependencies = package["dependencies"]
                .as_array()
                .context("a package has dependencies")?;
            let depends_on = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null() && dependency["path"].is_string())
                .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect();
            Ok((
                name.to_owned(),
                Crate {
                    folder: folder.display().to_string(),
                    depends_on,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{check, differences, table};

    const TABLE: &str = "\
| crate | folder | owns | depends on |
|---|---|---|---|
| `a` | `x/a` | this | — |
| `b` | `x/b` | that | `a` |
";

    #[test]
    fn the_table_of_this_repository_is_what_cargo_says() {
        assert!(check().unwrap(), "the differences are printed above");
    }

    #[test]
    fn a_missing_row_an_extra_row_and_a_wrong_edge_are_all_found() {
        let full = table(TABLE).unwrap();
        let without_b = table(&TABLE.replace("| `b` | `x/b` | that | `a` |\n", "")).unwrap();
        let other_edge = table(&TABLE.replace("that | `a` |", "that | — |")).unwrap();
        assert!(differences(&full, &full).is_empty());
        assert!(differences(&without_b, &full)[0].contains("is not in ARCHITECTURE.md"));
        assert!(differences(&full, &without_b)[0].contains("Cargo does not know it"));
        assert!(differences(&full, &other_edge)[0].contains("depending on nothing"));
    }
}
