//! Prints both definitions as a JSON list that `kubectl apply -f -` takes.

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() {
    let items: Vec<_> = mesh_api::definitions()
        .into_iter()
        .map(|(_, definition)| serde_json::to_value(definition).expect("plain data"))
        .collect();
    println!(
        "{}",
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items})
    );
}
