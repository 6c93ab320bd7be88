//! The shipped meshes load and render; a broken definition is told with everything that is wrong with it.

use super::*;
use crate::definition::ComponentKind;
use crate::deploy::{self, DeployOptions};
use crate::testing::{context, context_with, options};
use crate::{Keys, manifest};
use std::collections::BTreeSet;

mod forms;
mod limits;

/// The reference mesh with another text of its definition.
fn changed(change: impl Fn(&str) -> String) -> Result<MeshDefinition, LoadMeshError> {
    let mesh = &fixtures::meshes::ALL[0];
    let read = |file: &str| {
        mesh.files
            .iter()
            .find(|(name, _)| *name == file)
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| "no such file".to_owned())
    };
    parse(Path::new("mesh.yaml"), &change(mesh.definition), &read)
}

fn broken(change: impl Fn(&str) -> String) -> Vec<Defect> {
    match changed(change) {
        Err(LoadMeshError::Invalid(defects)) => defects,
        other => panic!("expected defects, got {other:?}"),
    }
}

/// With `wrong` in the place of `right` these words are told, and a line of each defect.
#[track_caller]
fn assert_refused(right: &str, wrong: &str, told: &str) {
    let defects = broken(|text| {
        assert!(text.contains(right), "{right}");
        text.replace(right, wrong)
    });
    assert!(defects.iter().all(|defect| defect.line > 0), "{defects:#?}");
    let words = LoadMeshError::Invalid(defects).to_string();
    assert!(words.contains(told), "{words}");
}

#[test]
fn the_shipped_meshes_load() {
    for mesh in fixtures::meshes::ALL {
        let definition = MeshDefinition::load(mesh.name).unwrap();
        assert_eq!(definition.name, mesh.name);
    }
}

#[test]
fn every_defect_is_listed_with_its_line() {
    let defects = broken(|text| {
        text.replace("version: 1", "version: 7")
            .replace("  xdsPort: 15012", "  xdsPorrt: 15012")
            .replace("  runtimeLayer: mesh", "  runtimeLayer: [mesh]")
            .replace(
                "      file: scope-config.yaml",
                "      file: scop-config.yaml",
            )
    });
    let found: Vec<(u64, &str)> = defects
        .iter()
        .map(|defect| (defect.line, defect.field.as_str()))
        .collect();
    assert_eq!(defects.len(), 4, "{defects:#?}");
    assert!(found.iter().all(|(line, _)| *line > 0), "{found:?}");
    for field in ["version", "controlPlane", "state"] {
        assert!(found.iter().any(|(_, found)| *found == field), "{found:?}");
    }
    let words = LoadMeshError::Invalid(defects).to_string();
    assert!(words.contains("xdsPorrt"), "{words}");
    assert!(words.contains("scop-config.yaml"), "{words}");
    assert!(words.starts_with("4 defects"), "{words}");
}

#[test]
fn an_unknown_section_and_a_missing_one_are_told() {
    let defects = broken(|text| text.replace("\nstate:\n", "\nstates:\n"));
    let words = LoadMeshError::Invalid(defects).to_string();
    assert!(words.contains("states"), "{words}");
    assert!(words.contains("state: is missing"), "{words}");
}

#[test]
fn a_component_that_has_no_image_is_told() {
    let defects =
        broken(|text| text.replace("component: control-plane-mutants", "component: mutants"));
    assert_eq!(defects.len(), 1, "{defects:#?}");
    assert_eq!(defects[0].field, "controlPlane.mutants.component");
    assert!(defects[0].line > 0);
}

#[test]
fn extra_recipients_of_another_name_are_told() {
    let defects =
        broken(|text| text.replace("    application: canary\n", "    application: extra\n"));
    assert_eq!(defects.len(), 1, "{defects:#?}");
    assert_eq!(defects[0].field, "workloads.canary.application");
    assert!(defects[0].line > 0);
}

#[test]
fn an_empty_file_is_told() {
    let defects = broken(|_| String::new());
    assert_eq!(defects.len(), REQUIRED.len());
}

#[test]
fn a_misspelt_mesh_gets_a_suggestion() {
    let error = MeshDefinition::load("refernce").unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean `reference`?"));
}

#[test]
fn every_manifest_renders_to_objects() {
    for mesh in fixtures::meshes::ALL {
        let definition = MeshDefinition::load(mesh.name).unwrap();
        let context = context(&definition);
        let mut deployments = Vec::new();
        for file in definition.manifests.iter().flat_map(|group| &group.files) {
            let text = context.render_manifest(&definition, file, None).unwrap();
            let objects = manifest::parse(file, &text, "r1").unwrap_or_else(|error| {
                panic!("{error}\n{text}");
            });
            assert!(!objects.is_empty(), "{file}");
            for object in objects {
                let types = object.types.unwrap();
                if types.kind == "Deployment" {
                    serde_json::from_value::<k8s_openapi::api::apps::v1::DeploymentSpec>(
                        object.data["spec"].clone(),
                    )
                    .unwrap();
                    deployments.push(object.metadata.name.unwrap());
                }
            }
        }
        let workloads = definition.workloads.applications.len() * 3;
        // The canary and the control plane, where there is one.
        let canary_and_control_plane = 2 * usize::from(definition.control_plane.is_some());
        let components = definition.components.iter();
        let components = components.filter(|part| part.kind == ComponentKind::Deployment);
        let others = canary_and_control_plane + components.count();
        assert_eq!(deployments.len(), workloads + others, "{deployments:?}");
        assert!(deployments.contains(&"checkout-zone-b".to_owned()));
    }
}

#[test]
fn the_identity_manifests_render_with_a_certificate_for_each_end() {
    let files = [
        "key-service-rbac.yaml",
        "key-service.yaml",
        "certificate-authority-rbac.yaml",
        "certificate-authority.yaml",
    ];
    let list = files.map(|file| format!("      - {file}\n")).concat();
    let definition = changed(|text| {
        text.replace(
            "      - services.yaml\n",
            &format!("{list}      - services.yaml\n"),
        )
    })
    .unwrap();
    let context = context(&definition);
    let mut found = Vec::new();
    for file in files {
        let text = context.render_manifest(&definition, file, None).unwrap();
        let objects = manifest::parse(file, &text, "r1").unwrap();
        for object in objects {
            let kind = object.types.unwrap().kind;
            let name = object.metadata.name.unwrap();
            if kind == "Deployment" {
                let spec: k8s_openapi::api::apps::v1::DeploymentSpec =
                    serde_json::from_value(object.data["spec"].clone()).unwrap();
                let pod = spec.template.spec.unwrap();
                assert_eq!(
                    pod.containers[0].image.as_deref(),
                    Some("meshproof/identity:dev")
                );
                assert_eq!(
                    pod.containers[0].command,
                    Some(vec![format!("/{name}")]),
                    "the program of the image that it is"
                );
            }
            found.push(format!("{kind} {name}"));
        }
    }
    for wanted in [
        "Deployment key-service",
        "Deployment certificate-authority",
        "Secret key-service-master",
        "Secret certificate-authority-key-service",
        "ClusterRole mesh-certificate-authority",
    ] {
        assert!(found.iter().any(|found| found == wanted), "{found:?}");
    }
}

#[test]
fn the_secret_that_is_searched_for_keys_is_the_one_that_the_key_service_keeps_its_own_in() {
    let definition = MeshDefinition::load("reference").unwrap();
    let name = "key-service-keys";
    let searched = [("mesh-system".to_owned(), name.to_owned())];
    assert_eq!(definition.secrets(), searched);
    let context = context(&definition);
    let objects = |file: &str| {
        let text = context.render_manifest(&definition, file, None).unwrap();
        manifest::parse(file, &text, "r1").unwrap()
    };
    let env = "/spec/template/spec/containers/0/env";
    let variables: Vec<serde_json::Value> = objects("key-service.yaml")
        .iter()
        .filter_map(|object| object.data.pointer(env)?.as_array().cloned())
        .flatten()
        .collect();
    let is_told = |variable: &serde_json::Value| {
        variable["name"] == "KEY_SECRET" && variable["value"] == name
    };
    assert!(variables.iter().any(is_told), "{variables:?}");
    let is_made = objects("key-service-rbac.yaml").iter().any(|object| {
        let types = object.types.as_ref().unwrap();
        types.kind == "Secret" && object.metadata.name.as_deref() == Some(name)
    });
    assert!(is_made);
}

#[test]
fn the_trust_bundle_is_in_every_namespace_of_a_cluster_that_is_ours() {
    let definition = MeshDefinition::load("reference").unwrap();
    let rotation = definition.rotation.as_ref().unwrap();
    let published = rotation.published.as_ref().unwrap();
    let others = context(&definition);
    let ours = context(&definition).of_ours();
    let places = ["mesh-system", "mesh-workloads", "default"];
    for (context, selector, places) in [
        (&others, "mesh.meshproof.io/trust-bundle=true", &places[..2]),
        (&ours, "", &places[..]),
    ] {
        assert_eq!(published.places(context), places);
        let file = "certificate-authority.yaml";
        let text = context.render_manifest(&definition, file, None).unwrap();
        let objects = manifest::parse(file, &text, "r1").unwrap();
        let env = "/spec/template/spec/containers/0/env";
        let told: Vec<&serde_json::Value> = objects
            .iter()
            .filter_map(|object| object.data.pointer(env)?.as_array())
            .flatten()
            .filter(|variable| variable["name"] == "TRUST_BUNDLE_NAMESPACES")
            .map(|variable| &variable["value"])
            .collect();
        assert_eq!(told, [selector], "{text}");
    }
}

#[test]
fn an_image_that_nodes_pull_stands_in_the_manifest_as_it_was_named() {
    const CANDIDATE: &str = "registry.example:5000/team/control-plane:candidate";
    let definition = MeshDefinition::load("reference").unwrap();
    let images = BTreeMap::from([("control-plane".to_owned(), CANDIDATE.to_owned())]);
    let options = DeployOptions {
        images,
        pulled: BTreeSet::from([CANDIDATE.to_owned()]),
        ..options()
    };
    let context = context_with(&definition, &options);
    let files = ["control-plane.yaml", "workloads.yaml"].map(str::to_owned);
    let objects = deploy::rendered(&definition, &context, &files, None).unwrap();
    let mut others = 0;
    for object in objects {
        let containers = object.data.pointer("/spec/template/spec/containers");
        for container in containers
            .and_then(|found| found.as_array())
            .into_iter()
            .flatten()
        {
            let is_candidate = container["image"] == CANDIDATE;
            let policy = &container["imagePullPolicy"];
            assert_eq!(
                policy == "Always",
                is_candidate,
                "a tag may mean another image now: {container}"
            );
            assert_eq!(container["name"] == "control-plane", is_candidate);
            others += usize::from(!is_candidate);
        }
    }
    assert!(others > 0, "workloads have images of ours");
}

#[test]
fn a_mutant_changes_the_image_and_tells_its_name() {
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let text = context
        .render_manifest(&definition, "control-plane.yaml", Some("scope-ignored"))
        .unwrap();
    assert!(
        text.contains("meshproof/control-plane-mutants:dev"),
        "{text}"
    );
    assert!(text.contains("\"scope-ignored\""), "{text}");
    let sound = context
        .render_manifest(&definition, "control-plane.yaml", None)
        .unwrap();
    assert!(
        !sound.contains("MUTANT") && !sound.contains("mutants:dev"),
        "{sound}"
    );
}

#[test]
fn a_mutant_of_an_identity_program_starts_that_one_alone_with_its_name() {
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let programs = ["node-agent", "certificate-authority", "key-service"];
    for (mutant, mutated) in [
        ("agent-x", "node-agent"),
        ("authority-x", "certificate-authority"),
        ("keys-x", "key-service"),
    ] {
        for program in programs {
            let file = format!("{program}.yaml");
            let text = context
                .render_manifest(&definition, &file, Some(mutant))
                .unwrap();
            assert!(text.contains("meshproof/identity-mutants:dev"), "{text}");
            let is_mutated = program == mutated;
            let command = format!("[/{program}{}]", if is_mutated { "-mutants" } else { "" });
            assert!(text.contains(&command), "{mutant}: {text}");
            assert_eq!(text.contains("MESH_MUTANT"), is_mutated, "{mutant}: {text}");
        }
        let control_plane = context
            .render_manifest(&definition, "control-plane.yaml", Some(mutant))
            .unwrap();
        assert!(!control_plane.contains("MESH_MUTANT"), "{control_plane}");
    }
}

#[test]
fn a_mutant_of_the_sidecar_is_in_every_workload_and_nowhere_else() {
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let rendered = |file: &str, mutant| {
        context
            .render_manifest(&definition, file, mutant)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let count = |text: &str, what: &str| text.matches(what).count();
    let sound = rendered("workloads.yaml", None);
    let pods = count(&sound, "meshproof/sidecar:dev");
    assert!(pods > 1, "{sound}");
    assert_eq!(count(&sound, "MUTANT") + count(&sound, "mutants:dev"), 0);
    assert_eq!(rendered("workloads.yaml", Some("agent-x")), sound);
    let mutant = rendered("workloads.yaml", Some("sidecar-x"));
    assert_eq!(count(&mutant, "meshproof/sidecar:dev"), 0, "{mutant}");
    assert_eq!(count(&mutant, "meshproof/sidecar-mutants:dev"), pods);
    assert_eq!(count(&mutant, "value: \"sidecar-x\""), pods);
    for file in ["control-plane.yaml", "node-agent.yaml"] {
        assert_eq!(rendered(file, Some("sidecar-x")), rendered(file, None));
    }
}

#[test]
fn a_rotation_renders_to_what_the_authority_wants_next() {
    use harness_model::rotation::Rotation;
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let file = &definition.rotation.as_ref().unwrap().patch;
    let object: kube::api::DynamicObject = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "certificate-authority"},
        "data": {"desired": "{\"root\":3,\"intermediate\":2,\"trust\":[1,3],\"partners\":[\"bank\"]}"},
    }))
    .unwrap();
    for (rotation, wanted) in [
        (
            Rotation::NewRoot,
            serde_json::json!({"root": 4, "intermediate": 2, "trust": [3, 4], "partners": ["bank"]}),
        ),
        (
            Rotation::NewIntermediate,
            serde_json::json!({"root": 3, "intermediate": 3, "trust": [1, 3], "partners": ["bank"]}),
        ),
        (
            Rotation::DropOldRoots,
            serde_json::json!({"root": 3, "intermediate": 2, "trust": [3], "partners": []}),
        ),
    ] {
        let patch = context
            .render_rotation(&definition, file, &rotation, None, &object)
            .unwrap();
        let desired = patch["data"]["desired"].as_str().unwrap();
        let desired: serde_json::Value = serde_json::from_str(desired).unwrap();
        assert_eq!(desired, wanted, "{rotation:?}");
    }
}

#[test]
fn a_partner_s_root_renders_to_one_that_is_trusted_and_to_none() {
    use harness_model::rotation::Rotation;
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let form = definition.rotation.as_ref().unwrap();
    let file = form.partner.as_ref().unwrap();
    let object: kube::api::DynamicObject = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "certificate-authority"},
        "data": {"desired": "{\"root\":3,\"intermediate\":2,\"trust\":[1,3]}"},
    }))
    .unwrap();
    let pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let trusted = Rotation::TrustPartner("frontend@a".to_owned());
    for (rotation, partner, partners) in [
        (trusted, Some(pem), vec!["meshproof"]),
        (Rotation::DropPartner, None, vec![]),
    ] {
        let patch = context
            .render_rotation(&definition, file, &rotation, partner, &object)
            .unwrap();
        let desired = patch["data"]["desired"].as_str().unwrap();
        let desired: serde_json::Value = serde_json::from_str(desired).unwrap();
        let wanted = serde_json::json!({
            "root": 3, "intermediate": 2, "trust": [1, 3], "partners": partners,
        });
        assert_eq!(desired, wanted, "{rotation:?}");
        let told = patch["data"]["partner-meshproof.pem"].as_str();
        assert_eq!(told, partner, "{rotation:?}");
    }
}

#[test]
fn a_mesh_that_claims_partners_must_say_how() {
    let defects = broken(|text| text.replace("  partner: partner.yaml\n", ""));
    let told = "`partner-roots` is claimed, but `rotation.partner` is missing";
    assert!(
        defects.iter().any(|defect| defect.message == told),
        "{defects:?}"
    );
}

#[test]
fn a_mesh_that_claims_a_key_service_must_say_where_it_is() {
    let form = "    component: key-service\n    port: 15017\n    certificate: keyService\n";
    let whole = keys_section();
    let component = form.replace("component: key-service", "component: nobody");
    let certificate = form.replace("certificate: keyService", "certificate: nothing");
    for (right, wrong, field) in [
        (whole.as_str(), "", "capabilities"),
        (form, component.as_str(), "identity.keyService.component"),
        (
            form,
            certificate.as_str(),
            "identity.keyService.certificate",
        ),
    ] {
        let defects = broken(|text| {
            assert!(text.contains(right), "{right}");
            let text = text.replace("  - audit-log\n", "");
            text.replace(right, wrong)
        });
        assert_eq!(defects.len(), 1, "{defects:#?}");
        assert_eq!(defects[0].field, field);
        assert!(defects[0].line > 0, "{defects:#?}");
    }
    let unclaimed = changed(|text| {
        let text = text.replace(&whole, "").replace("  - audit-log\n", "");
        text.replace("  - key-service\n", "")
    });
    unclaimed.expect("nothing is claimed");
}

/// What the reference mesh says of its key service.
fn keys_section() -> String {
    let text = fixtures::meshes::ALL[0].definition;
    // A certificate has the same name.
    let (_, identity) = text.split_once("\nidentity:\n").expect("it is there");
    let (_, rest) = identity
        .split_once("\n  keyService:\n")
        .expect("it is there");
    let is_inside = |line: &&str| line.starts_with("    ");
    let lines: String = rest.split_inclusive('\n').take_while(is_inside).collect();
    format!("  keyService:\n{lines}")
}

#[test]
fn a_mesh_that_claims_an_audit_log_must_say_how_it_is_known() {
    let whole = keys_section();
    let (without, _) = whole.split_once("    # How its audit").expect("it is told");
    let defects = broken(|text| text.replace(&whole, without));
    let told = "`audit-log` is claimed, but `identity.keyService.audit` is missing";
    assert_eq!(defects.len(), 1, "{defects:#?}");
    assert_eq!(defects[0].message, told);
    assert!(defects[0].line > 0, "{defects:#?}");

    for key in ["served", "refused"] {
        let line = format!("      {key}: [");
        let defects = broken(|text| {
            let (before, rest) = text.split_once(&line).expect("it is there");
            let (_, after) = rest.split_once('\n').expect("more lines");
            format!("{before}{line}]\n{after}")
        });
        assert_eq!(defects.len(), 1, "{defects:#?}");
        let field = format!("identity.keyService.audit.{key}");
        assert_eq!(defects[0].field, field);
    }
}

#[test]
fn the_reference_mesh_knows_who_called_from_its_audit_log() {
    const AUTHORITY: &str = "certificate-authority.mesh-system.svc";
    let definition = MeshDefinition::load("reference").unwrap();
    let keys = definition.identity.unwrap().key_service.unwrap();
    let audit = keys.audit.unwrap();
    let refused = format!("`{AUTHORITY}` is not in the list of clients");
    for (texts, outcome) in [(audit.served, "ok"), (audit.refused, refused.as_str())] {
        let is_entry = |caller: &str| {
            let line = format!("audit: call {caller}method=\"Sign\" outcome=\"{outcome}\"");
            texts.iter().all(|text| line.contains(text.as_str()))
        };
        assert!(is_entry(&format!("caller=\"{AUTHORITY}\" ")), "{texts:?}");
        assert!(!is_entry("caller=\"stranger.svc\" "), "{texts:?}");
        assert!(!is_entry(""), "{texts:?}");
    }
}

#[test]
fn a_mesh_that_claims_a_private_socket_must_say_where_it_is() {
    let defects = broken(|text| {
        let (before, rest) = text.split_once("\nidentity:\n").expect("it is there");
        let (_, after) = rest.split_once("\nhandshake:\n").expect("it is there");
        format!("{before}\nhandshake:\n{after}")
    });
    let told = "`private-socket` is claimed, but `identity` is missing";
    assert!(
        defects.iter().any(|defect| defect.message == told),
        "{defects:?}"
    );
}

#[test]
fn where_the_trust_bundle_is_published_must_be_told_whole() {
    let published = |old: &str, new: &str| {
        broken(|text| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        })
    };
    for (old, new, field) in [
        ("key: roots.pem", "key: \"\"", "key"),
        (
            "namespaces: [mesh-system, mesh-workloads]",
            "namespaces: []",
            "namespaces",
        ),
    ] {
        let defects = published(old, new);
        let field = format!("rotation.published.{field}");
        assert!(
            defects.iter().any(|defect| defect.field == field),
            "{defects:?}"
        );
    }
}

#[test]
fn a_mesh_that_claims_rotation_must_say_how() {
    let defects =
        broken(|text| text.replace("rotation:\n  apiVersion", "variables2:\n  apiVersion"));
    assert!(
        defects
            .iter()
            .any(|defect| defect.message.contains("`rotation` is missing")),
        "{defects:?}"
    );
}

#[test]
fn what_services_are_claimed_to_speak_has_a_port() {
    for (port, claim) in [
        ("http1: 8080, ", "protocols"),
        (", tcp: 8082", "protocols"),
        (", serverFirst: 8083", "server-first"),
        (", applicationTls: 8084", "application-tls"),
    ] {
        let defects = broken(|text| {
            assert!(text.contains(port), "{port}");
            text.replace(port, "")
        });
        assert_eq!(defects.len(), 1, "{defects:#?}");
        assert!(defects[0].line > 0, "{defects:#?}");
        let told = format!("`{claim}` is claimed, but `workloads.ports` has none for ");
        assert!(defects[0].message.starts_with(&told), "{defects:#?}");
        let unclaimed = changed(|text| {
            let claims = format!("  - {claim}\n");
            assert!(text.contains(&claims), "{claim}");
            text.replace(port, "").replace(&claims, "")
        });
        unclaimed.expect("nothing is claimed");
    }
}

#[test]
fn a_mesh_that_claims_handshakes_must_say_how() {
    let without = |section: &'static str| {
        move |text: &str| {
            let hidden = format!("\n{section}:\n");
            assert!(text.contains(&hidden), "{section}");
            let (before, after) = text.split_once(&hidden).expect("is there");
            let rest = after.find("\n\n").map_or("", |end| &after[end..]);
            format!("{before}{rest}")
        }
    };
    for section in ["handshake", "identity"] {
        let words = LoadMeshError::Invalid(broken(without(section))).to_string();
        let told = format!("`handshakes` is claimed, but `{section}` is missing");
        assert!(words.contains(&told), "{words}");
    }
    for (right, wrong, told) in [
        ("  roots: ROOTCA", "", "but `state.roots` is missing"),
        ("  - tls\n", "", "but `tls` in `capabilities` is missing"),
        (
            "shortestLifetimeS: 2",
            "shortestLifetimeS: 60",
            "handshake.shortestLifetimeS",
        ),
        ("  port: 8080", "  port: 0", "handshake.port"),
        (
            "  alpn: [mesh]",
            "  serverName: \"{{\"",
            "handshake.serverName",
        ),
    ] {
        assert_refused(right, wrong, told);
    }
}

#[test]
fn a_list_of_clients_names_parts_of_the_mesh_and_where_it_shows() {
    for (right, wrong, told) in [
        (
            "names: { certificate-authority:",
            "names: { authority:",
            "components.key-service.clients.names: `authority` is none of `components`",
        ),
        (
            "names: { certificate-authority: certificate-authority.mesh-system.svc }",
            "names: {}",
            "nobody is named",
        ),
        (
            "names: { certificate-authority: certificate-authority.mesh-system.svc }",
            "names: { certificate-authority: ' authority' }",
            "components.key-service.clients.names: ` authority` is empty, or has spaces around it",
        ),
        (
            "configMap: key-service-clients",
            "configMap: ''",
            "components.key-service.clients.configMap: `` is empty",
        ),
        (
            "shownAt: /clients",
            "shownAt: clients",
            "components.key-service.clients.shownAt: `clients` is no path",
        ),
        (
            "shownAt: /metrics",
            "shownAt: metrics",
            "components.certificate-authority.refusals.shownAt: `metrics` is no path",
        ),
        (
            "counter: mesh_certificate_authority_refused_total",
            "counter: 'a b'",
            "components.certificate-authority.refusals.counter: `a b` is empty, or has spaces in it",
        ),
    ] {
        assert_refused(right, wrong, told);
    }
}

#[test]
fn what_a_variable_can_be_is_said_of_one_that_is_there_and_holds_for_its_value() {
    for (right, wrong, told) in [
        (
            "  xds: sotw",
            "  xds: grpc",
            "variables: `xds` is `grpc`, which is none of its choices",
        ),
        (
            "  certificateLifetime: \"20\"",
            "  certificateLifetime: 1m",
            "variables: `certificateLifetime` is `1m`, which is not a whole number of seconds from 2 to 86400",
        ),
        (
            "  xds: [sotw",
            "  form: [sotw",
            "choices: there is no variable `form`",
        ),
        (
            "  certificateLifetime: { of",
            "  lifetime: { of",
            "numbers: there is no variable `lifetime`",
        ),
    ] {
        assert_refused(right, wrong, told);
    }
}

#[test]
fn clusters_are_told_to_lead_to_a_service_by_its_name() {
    let right = "services: \"{{ service }}.mesh-workloads:\"";
    assert_refused(right, "services: mesh-workloads", "does not use `service`");
    assert_refused(right, "services: \"{{ service\"", "state.services");
}

#[test]
fn a_configuration_renders_to_both_objects() {
    let definition = MeshDefinition::load("reference").unwrap();
    let context = context(&definition);
    let keys = Keys::new("s1");
    let configuration: harness_model::configuration::Configuration =
        serde_json::from_value(serde_json::json!({
            "name": "color",
            "scope": {"match": [{"dataCenter": "zone-a", "application": "checkout"}]},
            "toggles": {"color": "\"blue\": {yes}"},
            "rules": {
                "plain": {"service": "frontend", "to": {"checkout": 1}},
                "header": {"service": "frontend", "pathPrefix": "/x", "headers": {"a": "b"}, "to": {"checkout": 1, "inventory": 3}},
            },
        }))
        .unwrap();
    let object = |file: &str| {
        context
            .render_object(&definition, file, &keys.object("color"), &configuration)
            .unwrap()
    };
    let scope = object("scope-config.yaml");
    assert_eq!(
        scope["spec"],
        serde_json::json!({"match": [{"dataCenter": "zone-a", "application": "checkout"}]})
    );
    let policy = object("policy-config.yaml");
    assert_eq!(policy["metadata"]["name"], "s1-color");
    assert_eq!(policy["spec"]["toggles"]["color"], "\"blue\": {yes}");
    assert_eq!(
        policy["spec"]["rules"][0]["match"]["headers"][0]["value"],
        "b"
    );
    assert_eq!(policy["spec"]["rules"][0]["to"][1]["weight"], 3);
    assert_eq!(policy["spec"]["rules"][1]["match"], serde_json::Value::Null);
}
