//! What the program says and ends with when it is used wrongly, and what it says without a cluster.
//!
//! Nothing here starts a cluster. Each snapshot holds exit code, stdout and stderr.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A folder with the files of one test, where the program is started.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a fresh folder can be written");
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars() {
            if name.starts_with("MESHPROOF_") {
                command.env_remove(name);
            }
        }
        command.env("COLUMNS", "100");
        command
    }

    /// Exit code, stdout and stderr as one text.
    fn say(&self, arguments: &[&str]) -> String {
        let output = self
            .command(arguments)
            .output()
            .expect("the built program starts");
        let mut text = format!(
            "exit {}\n",
            output.status.code().expect("it ends by itself")
        );
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                write!(text, "--- {name}\n{}", String::from_utf8_lossy(bytes))
                    .expect("a string takes everything");
            }
        }
        text
    }
}

#[test]
fn an_unknown_scenario_is_told_with_a_suggestion() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "delivery-scope/one-aplication"]), @"
    exit 2
    --- stderr
    error: failed to find the scenario `delivery-scope/one-aplication`
      there is no scenario or suite `delivery-scope/one-aplication`; did you mean `delivery-scope/application`?

    hint: `meshproof list` shows what there is; a file must end in .yaml or .yml
    ");
}

#[test]
fn nothing_selected_is_a_failure() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "--filter", "^nothing-of-that-name$"]), @"
    exit 4
    --- stderr
    error: failed to select anything
      caused by: no scenario matches the names, filters and tags together

    hint: `meshproof list` shows what there is
    ");
}

#[test]
fn an_unknown_flag_is_told() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "--sede", "7"]), @"
    exit 2
    --- stderr
    error: unexpected argument '--sede' found

      tip: a similar argument exists: '--seed'

    Usage: meshproof run --seed <N> [NAME]...

    For more information, try '--help'.
    ");
}

#[test]
fn every_mistake_of_a_scenario_file_is_shown_at_its_place() {
    let place = Place::new(&[(
        "mine.yaml",
        "name: mine/first\nclaim: it works\ntags: [gate, nightly]\nwhen:\n- aply:\n    name: a\n- hold: 10\nthen:\n- delivered\n- answered: {trafic: x}\n",
    )]);
    insta::assert_snapshot!(place.say(&["run", "mine.yaml"]), @"
    exit 2
    --- stderr
    error: failed to read the scenario mine.yaml

      × the claim is not a sentence
       ╭─[mine.yaml:2:8]
     1 │ name: mine/first
     2 │ claim: it works
       ·        ──
     3 │ tags: [gate, nightly]
       ╰────
      help: say in the present tense what holds, so that it can be false

      × unknown word `nightly`
       ╭─[mine.yaml:3:14]
     2 │ claim: it works
     3 │ tags: [gate, nightly]
       ·              ───────
     4 │ when:
       ╰────
      help: known here: gate, qa, pre-release, chaos

      × unknown word `aply`
       ╭─[mine.yaml:5:3]
     4 │ when:
     5 │ - aply:
       ·   ────
     6 │     name: a
       ╰────
      help: did you mean `apply`?

      × `10` is not a duration without its unit; write for example `10s` or `10ms`
       ╭─[mine.yaml:7:9]
     6 │     name: a
     7 │ - hold: 10
       ·         ──
     8 │ then:
       ╰────

      × missing field `traffic`
        ╭─[mine.yaml:10:13]
      9 │ - delivered
     10 │ - answered: {trafic: x}
        ·             ───────
        ╰────
      help: add `traffic: …` to the map that begins here

      × unknown field `trafic`
        ╭─[mine.yaml:10:14]
      9 │ - delivered
     10 │ - answered: {trafic: x}
        ·              ──────
        ╰────
      help: did you mean `traffic`?
    ");
}

#[test]
fn an_unknown_seeded_bug_is_told_with_a_suggestion() {
    let place = Place::new(&[]);
    let said = place.say(&["run", "--dry-run", "--mutant", "leak-toggle-only"]);
    assert!(said.starts_with("exit 2"), "{said}");
    assert!(
        said.contains("hint: did you mean `leak-toggles-only`?\nhint: `meshproof list --mutants`"),
        "{said}"
    );
    assert!(!said.contains("agent-dials-once"), "no list: {said}");
}

#[test]
fn a_scenario_file_that_is_not_yaml_is_told_with_its_line() {
    let place = Place::new(&[("mine.yaml", "name: mine/first\nwhen: [\n")]);
    insta::assert_snapshot!(place.say(&["explain", "mine.yaml"]), @"
    exit 2
    --- stderr
    error: failed to read the scenario mine.yaml

      × unclosed bracket '['
       ╭─[mine.yaml:2:7]
     1 │ name: mine/first
     2 │ when: [
       ·       ─
       ╰────
    ");
}

#[test]
fn a_scenario_file_that_is_not_there_is_told() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "mine.yaml"]), @"
    exit 2
    --- stderr
    error: failed to read the scenario mine.yaml
      caused by: there is no such file

    hint: `meshproof explain --yaml NAME > FILE` writes a scenario to start from
    ");
}

#[test]
fn the_mistakes_of_all_files_are_told_at_once() {
    let place = Place::new(&[("a.yaml", "name: [\n"), ("b.yaml", "clame: it works\n")]);
    let said = place.say(&["run", "a.yaml", "missing.yaml", "b.yaml"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("failed to read 3 scenarios"), "{said}");
    for part in [
        "a.yaml:1:",
        "b.yaml:1:",
        "missing.yaml: there is no such file",
    ] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
}

const TYPO: &str = "name: mine/typo
claim: nobody gets what is meant for the frontend
tags: [qa]
when:
- apply:
    name: scoped
    scope: {match: [{application: forntend}, {dataCenter: $zone9}]}
    toggles: {flag: v1}
then: [delivered, confined]
";

#[test]
fn a_command_with_swapped_letters_is_suggested() {
    let place = Place::new(&[]);
    let said = place.say(&["rnu"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(
        said.contains("a similar subcommand exists: 'run'"),
        "{said}"
    );
}

#[test]
fn an_own_file_is_not_explained_by_the_seeded_bugs_of_a_namesake() {
    let place = Place::new(&[]);
    let name = "delivery-scope/data-center";
    let yaml = place
        .command(&["explain", "--yaml", name])
        .output()
        .expect("it starts");
    std::fs::write(place.path().join("mine.yaml"), yaml.stdout).expect("it can be written");
    assert!(place.say(&["explain", name]).contains("it fails when"));
    let own = place.say(&["explain", "mine.yaml"]);
    assert!(
        own.starts_with("exit 0\n") && !own.contains("it fails when"),
        "{own}"
    );
}

#[test]
fn a_topology_that_is_not_there_is_answered_with_those_that_are() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "--topology", "nope", "--dry-run"]), @"
    exit 2
    --- stderr
    error: failed to use the topology `nope`
      caused by: load topology `nope`
      caused by: there is no topology and no file of this name

    hint: give a file, or the name of a built-in topology: one-zone, three-zones, two-clusters, three-regions-five-data-centers
    ");
}

#[test]
fn the_schema_of_scenario_files_is_printed_as_json() {
    let place = Place::new(&[]);
    let output = place
        .command(&["explain", "--schema"])
        .output()
        .expect("it starts");
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(schema["title"], "Scenario");
    assert!(schema["$defs"]["Act"].is_object(), "{schema}");
    let said = place.say(&["explain", "--reference"]);
    assert!(
        said.contains("  hold (duration): Goes on watching"),
        "{said}"
    );
}

#[test]
fn the_list_fits_into_a_hundred_columns() {
    let place = Place::new(&[]);
    for arguments in [&["list"][..], &["list", "--topology", "one-zone"]] {
        let said = place.say(arguments);
        assert!(said.contains("delivery-scope/data-center "), "{said}");
        assert!(
            said.contains("reaches every sidecar there and no other"),
            "{said}"
        );
        for line in said.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn a_cluster_that_is_named_must_be_there_to_be_taken_down() {
    let place = Place::new(&[]);
    let runtime = place.path().join("runtime");
    std::fs::create_dir(&runtime).expect("a fresh folder can be written");
    let down = |name: &[&str]| {
        let output = place
            .command(&[&["cluster", "down"], name].concat())
            .env("TMPDIR", &runtime)
            .env("MESHPROOF_CACHE", place.path().join("cache"))
            .output()
            .expect("the built program starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = down(&["nope"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("no cluster `nope` is up\n\nhint: none is up"),
        "{said}"
    );
    let (code, said) = down(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        said,
        "nothing to take down: no cluster `dev` is up; none is up\n"
    );
}

#[test]
fn a_scope_that_names_nobody_is_refused_before_anything_is_started() {
    let place = Place::new(&[("typo.yaml", TYPO)]);
    for arguments in [
        &["run", "typo.yaml"][..],
        &["run", "typo.yaml", "--dry-run"],
        &["selftest", "typo.yaml"],
    ] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(place.say(arguments), @"
            exit 2
            --- stderr
            error: failed to read the scenario typo.yaml

              × there is no application `forntend`
               ╭─[typo.yaml:7:35]
             6 │     name: scoped
             7 │     scope: {match: [{application: forntend}, {dataCenter: $zone9}]}
               ·                                   ────────
             8 │     toggles: {flag: v1}
               ╰────
              help: did you mean `frontend`?

              × there is no data center `$zone9`
               ╭─[typo.yaml:7:59]
             6 │     name: scoped
             7 │     scope: {match: [{application: forntend}, {dataCenter: $zone9}]}
               ·                                                           ──────
             8 │     toggles: {flag: v1}
               ╰────
              help: there are: $zone1, $zone2, $zone3
            ");
        }
    }
}

#[test]
fn a_name_that_is_meant_to_be_unknown_is_run() {
    let meant = TYPO
        .replace("forntend", "$unknown:forntend")
        .replace("$zone9", "$zone3");
    let place = Place::new(&[("meant.yaml", &meant)]);
    let said = place.say(&["run", "meant.yaml", "--dry-run"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    // There it is skipped for what it requires, so its places say nothing.
    let requires = meant.replace("when:", "requires: [three-zones]\nwhen:");
    let place = Place::new(&[("meant.yaml", &requires)]);
    let small = ["run", "meant.yaml", "--dry-run", "--topology", "one-zone"];
    let said = place.say(&small);
    assert!(said.starts_with("exit 0\n"), "{said}");
    assert!(
        said.contains("(would be skipped: it needs at least three zones)")
            && said.contains("would run 0 scenarios"),
        "{said}"
    );
    let place = Place::new(&[("meant.yaml", &meant)]);
    let said = place.say(&small);
    assert!(
        said.starts_with("exit 2\n") && said.contains("there is one: $zone1"),
        "{said}"
    );
}

#[test]
fn a_cluster_that_is_not_up_cannot_be_used() {
    let place = Place::new(&[]);
    for dry in [&["--dry-run"][..], &[]] {
        let arguments = [&["run", "routing", "--reuse", "nope-not-there"], dry].concat();
        let said = place.say(&arguments);
        assert!(said.starts_with("exit 3\n"), "{said}");
        assert!(
            said.contains("no cluster of this name is up\n\nhint: "),
            "{said}"
        );
    }
}

#[test]
fn a_dry_run_on_a_cluster_of_somebody_else_names_no_topology() {
    let place = Place::new(&[]);
    let said = place.say(&[
        "run",
        "routing",
        "--dry-run",
        "--cluster",
        "kubeconfig",
        "--images-preloaded",
        "--seed",
        "7",
    ]);
    assert!(said.ends_with("on a cluster of somebody else (its zones are read when it is used) with mesh reference, seed 7; nothing was run\n"), "{said}");
}

#[test]
fn a_changed_copy_of_a_scenario_keeps_its_name_unless_both_are_selected() {
    let place = Place::new(&[]);
    let name = "delivery-scope/data-center";
    let copy = place
        .command(&["explain", "--yaml", name])
        .output()
        .expect("the built program starts");
    std::fs::write(place.path().join("copy.yaml"), copy.stdout).expect("it can be written");
    let said = place.say(&["run", "copy.yaml", "--dry-run"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    let said = place.say(&["run", name, "copy.yaml", "--dry-run"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(
        said.contains("give the scenario in the file a name of its own"),
        "{said}"
    );
}

#[test]
fn numbers_and_words_that_make_no_sense_are_refused() {
    let place = Place::new(&[]);
    for arguments in [
        ["run", "--repeat", "0"],
        ["run", "--parallel", "0"],
        ["run", "--seed", "-1"],
        ["run", "--keep=sometimes", "--dry-run"],
        ["run", "--color", "red"],
        ["run", "-o", "xml"],
        ["run", "--tag", "nightly"],
        ["run", "--delivery", "10"],
        ["run", "--patience", "delivery=5s"],
        ["run", "--topology", "four-zones"],
        ["run", "--filter", "("],
        // A self-test runs everything once, on mutants of its own choice.
        ["selftest", "--repeat", "2"],
        ["selftest", "--mutant", "leak-late"],
        ["selftest", "--fail-fast", "--dry-run"],
    ] {
        let said = place.say(&arguments);
        assert!(
            said.starts_with("exit 2\n--- stderr\nerror: "),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn keep_takes_no_scenario_for_its_value() {
    let place = Place::new(&[]);
    let said = place.say(&["run", "--keep", "routing", "--dry-run"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    assert!(said.contains("routing/own-zone"), "{said}");
}

#[test]
fn every_option_about_a_cluster_that_does_not_fit_is_told_at_once() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "--registry", "https://registry.example", "--allow-context", "a"]), @"
    exit 2
    --- stderr
    error: failed to choose a cluster
      --allow-context and --registry are for a cluster of somebody else
      --registry: `https://registry.example` is no registry with a path: leave out what stands before the host

    hint: add --cluster kubeconfig
    hint: write it as in an image's name, for example registry.example:5000/team
    ");
    let of_somebody_else = [
        "run",
        "--cluster",
        "kubeconfig",
        "--registry",
        "team",
        "--images-preloaded",
    ];
    insta::assert_snapshot!(place.say(&of_somebody_else), @"
    exit 2
    --- stderr
    error: failed to choose a cluster
      --registry brings the images, and --images-preloaded says that they are there
      --registry: `team` is no registry with a path: its first part is no host, which has a dot or a port, or is `localhost`

    hint: leave one of them out
    hint: write it as in an image's name, for example registry.example:5000/team
    ");
    insta::assert_snapshot!(place.say(&["run", "--cluster", "kubeconfig"]), @"
    exit 2
    --- stderr
    error: failed to choose a cluster
      caused by: the nodes of a cluster of somebody else need the images from somewhere

    hint: name a registry they pull from with --registry; or put the images of `cargo xtask images` on the nodes, and say so with --images-preloaded
    ");
}

#[test]
fn a_malformed_topology_is_told_with_its_lines() {
    let place = Place::new(&[(
        "shape.yaml",
        "name: shape\nclusters:\n- name: main\n  dataCenter: []\n",
    )]);
    insta::assert_snapshot!(place.say(&["run", "--topology", "shape.yaml", "--dry-run"]), @"
    exit 2
    --- stderr
    error: failed to use the topology `shape.yaml`

      × missing field `dataCenters`
       ╭─[shape.yaml:3:3]
     2 │ clusters:
     3 │ - name: main
       ·   ────
     4 │   dataCenter: []
       ╰────
      help: add `dataCenters: …` to the map that begins here

      × unknown field `dataCenter`
       ╭─[shape.yaml:4:3]
     3 │ - name: main
     4 │   dataCenter: []
       ·   ──────────
       ╰────
      help: did you mean `dataCenters`?
    ");
}

#[test]
fn a_malformed_mesh_definition_is_told_with_its_lines() {
    let place = Place::new(&[("mesh.yaml", "name: [mine]\nimages: 3\n")]);
    let said = place.say(&["run", "--mesh", "mesh.yaml", "--dry-run"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("mesh.yaml:1:"), "{said}");
    assert!(said.contains("mesh.yaml:2:"), "{said}");
}

#[test]
fn an_unknown_image_is_told_with_a_suggestion() {
    let place = Place::new(&[]);
    insta::assert_snapshot!(place.say(&["run", "--image", "controlplane=x.tar", "--dry-run"]), @"
    exit 2
    --- stderr
    error: failed to replace the image `controlplane`
      caused by: --image controlplane=x.tar: there is no image `controlplane`

    hint: did you mean `control-plane`?
    ");
}

#[test]
fn what_is_no_image_archive_is_told_before_anything_is_started() {
    let place = Place::new(&[("bad.tar", "no archive")]);
    let said = place.say(&["run", "--image", "control-plane=bad.tar", "--dry-run"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("bad.tar"), "{said}");
    assert!(said.contains("name an OCI archive"), "{said}");
}

#[test]
fn an_image_that_no_engine_holds_is_told_with_what_was_tried() {
    let place = Place::new(&[]);
    let reference = "meshproof.invalid/nobody/has:this";
    let image = format!("control-plane={reference}");
    let said = place.say(&["run", "--image", &image, "--dry-run"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    let reason = format!(
        "caused by: --image {image}: no container engine of this machine holds the image {reference}"
    );
    assert!(said.contains(&reason), "{said}");
    for engine in ["docker", "nerdctl", "podman"] {
        let tried = [" is not installed", " did not give it: "];
        let tried = tried.map(|what| format!("{engine}{what}"));
        assert!(tried.iter().any(|tried| said.contains(tried)), "{said}");
    }
    assert!(
        said.contains(&format!("hint: pull it (docker pull {reference})")),
        "{said}"
    );
}

#[test]
fn an_image_that_nodes_of_somebody_else_pull_needs_no_engine() {
    let place = Place::new(&[]);
    let run = ["run", "routing/own-zone", "--dry-run", "--cluster"];
    let kubeconfig = ["kubeconfig", "--images-preloaded", "--image"];
    let reference = ["control-plane=meshproof.invalid/team/control-plane:1"];
    let said = place.say(&[&run[..], &kubeconfig, &reference].concat());
    assert!(said.starts_with("exit 0\n"), "{said}");
    let archive = ["control-plane=candidate.tar"];
    let said = place.say(&[&run[..], &kubeconfig, &archive].concat());
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("name an image that the nodes pull"), "{said}");
}

#[test]
fn an_image_that_a_kept_cluster_would_get_twice_is_told() {
    let place = Place::new(&[]);
    let images = ["--image", "sidecar=a.tar", "--image", "sidecar=b.tar"];
    let said = place.say(&[&["cluster", "up"][..], &images].concat());
    assert!(said.starts_with("exit 2\n"), "{said}");
    let twice = "--image sidecar=b.tar: it is given twice, as a.tar before";
    assert!(said.contains(twice), "{said}");
}

#[test]
fn a_self_test_that_says_nothing_about_a_candidate_takes_none() {
    let place = Place::new(&[]);
    let selftest = ["selftest", "--cluster", "kubeconfig", "--images-preloaded"];
    let image = "control-plane=meshproof.invalid/team/control-plane:1";
    let options = ["--without-faithful", "--image", image];
    let said = place.say(&[&selftest[..], &options].concat());
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(
        said.contains("is judged by the part without seeded bugs alone"),
        "{said}"
    );
    assert!(
        said.contains("hint: leave one of the two options out"),
        "{said}"
    );
}

#[test]
fn nothing_is_deployed_for_good_in_a_cluster_of_somebody_else() {
    let place = Place::new(&[]);
    let said = place.say(&["deploy", "--cluster", "kubeconfig", "--images-preloaded"]);
    assert!(said.starts_with("exit 2\n"), "{said}");
    assert!(said.contains("what is deployed stays"), "{said}");
}

#[test]
fn garbage_is_no_history() {
    let place = Place::new(&[(
        "history.jsonl",
        "garbage\n{\"event\":\"finished\",\"atNs\":1}\n",
    )]);
    insta::assert_snapshot!(place.say(&["judge", "history.jsonl"]), @"
    exit 2
    --- stderr
    error: failed to read the history history.jsonl
      caused by: no line of it is one of a history; line 1: not JSON: expected value at line 1 column 1

    hint: a run writes its histories to history.jsonl in its artefact folder
    ");
}

#[test]
fn a_dry_run_names_the_scenarios_and_runs_nothing() {
    let place = Place::new(&[]);
    let said = place.say(&["run", "routing", "--dry-run", "--seed", "7"]);
    assert!(said.starts_with("exit 0\n"), "{said}");
    assert!(said.contains("seed 7; nothing was run"), "{said}");
    assert!(!said.contains("passed"), "{said}");
    let left = std::fs::read_dir(place.path())
        .expect("the folder is there")
        .count();
    assert_eq!(left, 0, "a dry run writes nothing");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new(&[]);
    let mut child = place
        .command(&["explain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn what_stdout_does_not_take_is_an_error() {
    let place = Place::new(&[]);
    for argument in ["list", "--help"] {
        let full = std::fs::File::create("/dev/full").expect("Linux has it");
        let output = place.command(&[argument]).stdout(full).output();
        let output = output.expect("the built program starts");
        assert_eq!(output.status.code(), Some(3), "{argument}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with("error: failed to write to stdout\n"),
            "{said}"
        );
    }
}

#[test]
fn what_explain_prints_as_yaml_can_be_explained_again() {
    let place = Place::new(&[]);
    let list = place
        .command(&["list", "-o", "json"])
        .output()
        .expect("the built program starts");
    let listed: serde_json::Value = serde_json::from_slice(&list.stdout).expect("it is JSON");
    for scenario in listed.as_array().expect("a list") {
        let name = scenario["name"].as_str().expect("a name");
        let yaml = place
            .command(&["explain", "--yaml", name])
            .output()
            .expect("it starts");
        assert_eq!(yaml.status.code(), Some(0), "{name}");
        let mut file =
            std::fs::File::create(place.path().join("again.yaml")).expect("it can be written");
        let text = String::from_utf8_lossy(&yaml.stdout).replace(name, &format!("{name}-again"));
        file.write_all(text.as_bytes()).expect("it can be written");
        let again = place
            .command(&["explain", "--yaml", "again.yaml"])
            .output()
            .expect("it starts");
        assert_eq!(String::from_utf8_lossy(&again.stdout), text, "{name}");
    }
}

#[test]
fn colour_is_off_without_a_terminal_and_on_when_asked_for() {
    let place = Place::new(&[]);
    let plain = place
        .command(&["explain", "routing"])
        .output()
        .expect("it starts");
    assert!(!plain.stdout.contains(&0x1b));
    let colour = place
        .command(&["explain", "routing", "--color", "always"])
        .output()
        .expect("it starts");
    assert!(colour.stdout.contains(&0x1b));
}

#[test]
fn doctor_says_one_line_for_each_check() {
    let place = Place::new(&[]);
    let output = place
        .command(&["doctor", "-o", "json"])
        .output()
        .expect("it starts");
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let checks = checks.as_array().expect("a list");
    assert!(checks.len() >= 10, "{checks:#?}");
    let missing = checks.iter().any(|check| check["state"] == "missing");
    assert_eq!(output.status.code(), Some(if missing { 3 } else { 0 }));
    for check in checks {
        assert_eq!(check["state"] == "ok", check["hint"].is_null(), "{check}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    let place = Place::new(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place
            .command(&["completions", shell])
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("meshproof"),
            "{shell}"
        );
    }
}
