//! Prints the kind configurations of the built-in topologies as a JSON object, for `cargo xtask codegen`.

use harness_cluster::{kind, topology};

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut configurations = serde_json::Map::new();
    for name in topology::built_in() {
        let topology = topology::load(name)?;
        for cluster in &topology.clusters {
            let text = kind::config::render(cluster);
            let file = match topology.clusters.len() {
                1 => name.to_owned(),
                _ => format!("{name}/{}", cluster.name),
            };
            configurations.insert(file, text.into());
        }
    }
    println!("{}", serde_json::to_string(&configurations)?);
    Ok(())
}
