//! What is read from topology files, and what is wrong with others.

use super::*;

fn problems(text: &str) -> String {
    let error = parse("my.yaml", text).unwrap_err();
    std::error::Error::source(&error).unwrap().to_string()
}

#[test]
fn the_built_in_ones_are_named_as_they_are_called() {
    for name in built_in() {
        let topology = load(name).unwrap();
        assert_eq!(topology.name, name);
        let text = BUILT_IN.iter().find(|(found, _)| *found == name).unwrap().1;
        assert_eq!(
            serde_saphyr::from_str::<Topology>(text).unwrap(),
            topology,
            "two readings agree"
        );
    }
    assert_eq!(load(DEFAULT).unwrap().clusters[0].data_centers.len(), 3);
}

#[test]
fn the_example_of_far_zones_is_read_from_its_file() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../kind-config/topologies/far-zones.yaml"
    );
    let read = load(file).unwrap();
    assert_eq!(read.name, "far-zones");
    let zones: Vec<&str> = read.data_centers().map(|zone| zone.name.as_str()).collect();
    assert_eq!(zones, ["zone-a", "zone-b", "zone-c"]);
    let millis = |from, to| read.one_way(from, to).map(|delay| delay.as_millis());
    for (from, to, expected) in [
        ("zone-a", "zone-b", 20),
        ("zone-b", "zone-a", 20),
        ("zone-b", "zone-c", 20),
        ("zone-c", "zone-b", 20),
        ("zone-a", "zone-c", 40),
        ("zone-c", "zone-a", 60),
    ] {
        assert_eq!(millis(from, to), Some(expected), "{from} to {to}");
    }
}

#[test]
fn everything_wrong_is_said_at_once_with_its_line() {
    let text = "\
name: mine
clusters:
  - name: One
    dataCenters:
      - name: a
        region: r
        nodes: 0
      - name: a
        region: r
latency:
  regions:
    r: {s: 1ms, r: 2ms}
    norht: {}
  between:
    a:
      b: 1ms
      a: 2ms
    aa: {a: 3ms}
";
    assert_eq!(
        problems(text),
        "my.yaml:3: `One` cannot name a cluster: lower-case letters, digits and `-` inside, at most 40
my.yaml:7: 0 nodes; there can be 1 to 250
my.yaml:8: data center `a` is there twice
my.yaml:12: latency.regions.r.s: there is no region `s` (hint: the regions are r)
my.yaml:13: latency.regions.norht: there is no region `norht` (hint: the regions are r)
my.yaml:16: latency.between.a.b: there is no data center `b` (hint: the data centers are a)
my.yaml:17: latency.between.a.a: nothing is between `a` and itself (hint: what is between the data centers of a region stands in `latency.regions`)
my.yaml:18: latency.between.aa: there is no data center `aa` (hint: did you mean `a`?)"
    );
}

#[test]
fn regions_that_are_nearly_there_are_guessed_and_rows_that_say_nothing_are_told() {
    let text = "\
name: mine
clusters:
  - name: one
    dataCenters:
      - {name: a, region: north}
      - {name: b, region: south}
latency:
  regions:
    norht: {south: 1ms}
    south: {}
";
    assert_eq!(
        problems(text),
        "my.yaml:9: latency.regions.norht: there is no region `norht` (hint: did you mean `north`?)
my.yaml:10: latency.regions.south: nothing is said (hint: `south: {OTHER: 5ms}`)"
    );
    let right = text.replace("norht", "north").replace("{}", "{south: 2ms}");
    let read = parse("my.yaml", &right).expect("it is right");
    let millis = |from, to| read.one_way(from, to).map(|delay| delay.as_millis());
    assert_eq!(millis("b", "a"), Some(1));
}

#[test]
fn several_clusters_have_names_and_data_centers_of_their_own() {
    let two = |first: &str, second: &str| {
        format!(
            "name: mine\nclusters:\n  - name: {first}\n    dataCenters: [{{name: a, region: r}}]\n  - name: {second}\n    dataCenters: [{{name: b, region: r}}]\n"
        )
    };
    let read = parse("my.yaml", &two("east", "west")).expect("it is right");
    assert_eq!(read.clusters.len(), 2);
    assert_eq!(
        problems(&two("east", "east")),
        "my.yaml:5: cluster `east` is there twice"
    );
    assert!(problems("name: mine\nclusters: []\n").contains("there can be 1 to 8"));
}

#[test]
fn a_word_that_nobody_knows_and_a_bad_duration_have_their_line() {
    let unknown = problems("name: mine\nclusters: []\nlatencies: {}\n");
    assert!(
        unknown.starts_with("my.yaml:3: ") && unknown.contains("latencies"),
        "{unknown}"
    );
    let duration = problems("name: mine\nclusters: []\nlatency:\n  default: soon\n");
    assert!(
        duration.starts_with("my.yaml:4: ") && duration.contains("soon"),
        "{duration}"
    );
}

#[test]
fn a_file_that_is_not_there_is_answered_with_the_names_that_are() {
    let error = load("four-zones").unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(reason, "there is no topology and no file of this name");
    assert!(error.hint.unwrap().contains("one-zone, three-zones"));
}
