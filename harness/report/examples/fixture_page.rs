//! Writes the page of the fixture run to the named file, to be looked at in a browser:
//! `cargo run --release -p harness-report --example fixture_page -- /tmp/report.html`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a file")?;
    let page = harness_report::html::render(&harness_report::fixture::record(), 1)?;
    std::fs::write(path, page)?;
    Ok(())
}
