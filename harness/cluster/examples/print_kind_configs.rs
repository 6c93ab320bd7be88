//! Prints the kind configuration of each built-in topology as a JSON object, for `cargo xtask codegen`.

use harness_cluster::{kind, topology};

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut configurations = serde_json::Map::new();
    for name in topology::built_in() {
        let topology = topology::load(name)?;
        for cluster in &topology.clusters {
            let text = kind::config::render(cluster);
            configurations.insert(name.to_owned(), text.into());
        }
    }
    println!("{}", serde_json::to_string(&configurations)?);
    Ok(())
}
