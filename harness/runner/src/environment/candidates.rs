//! Whether pods of the mesh run what was put in the place of our images: read from the cluster, not taken for granted.

use super::PrepareError;
use crate::images::{Candidate, mutant_images};
use crate::phases::Phases;
use crate::plan::RunPlan;
use harness_images::build::reference_of;
use harness_images::reference::normalize;
use harness_mesh::{Mesh, RunningImage};
use std::collections::{BTreeMap, BTreeSet};

/// The image that was replaced → the digests that nodes tell of the containers that run the candidate.
type Seen = BTreeMap<String, Vec<String>>;

/// Looks what runs, and tells people.
pub(super) async fn seen(
    mesh: &Mesh,
    plan: &RunPlan,
    candidates: &[Candidate],
    phases: &Phases,
) -> Result<Seen, PrepareError> {
    if candidates.is_empty() {
        return Ok(Seen::new());
    }
    let running = mesh.running_images().await.map_err(PrepareError::Read)?;
    let definition = &plan.mesh.definition;
    let of_bugs = mutant_images(definition);
    // A seeded bug is in the place of this component.
    let seeded = plan.mutant.as_deref().and_then(|mutant| {
        let control_plane = definition.control_plane.as_ref()?;
        Some(&control_plane.mutants_with(mutant)?.replaces)
    });
    let deployed: BTreeSet<String> = definition
        .images
        .iter()
        .filter(|(component, _)| Some(*component) != seeded)
        .map(|(_, reference)| normalize(reference))
        .collect();
    let mut seen = Seen::new();
    let mut wrong = Vec::new();
    for candidate in candidates {
        let is_used = deployed.contains(&normalize(&reference_of(&candidate.replaces)))
            && !of_bugs.contains(&candidate.replaces);
        if !is_used {
            continue;
        }
        match judged(candidate, &running) {
            Ok((digests, containers)) => {
                let line = format!(
                    "{containers} containers run the candidate for {}: {}",
                    candidate.replaces,
                    digests.join(", ")
                );
                phases.lines("mesh")(line);
                seen.insert(candidate.replaces.clone(), digests);
            }
            Err(reasons) => wrong.extend(reasons),
        }
    }
    if wrong.is_empty() {
        Ok(seen)
    } else {
        Err(PrepareError::Candidates(wrong))
    }
}

/// The digests by which nodes know the candidate and how many containers run it, or who runs something else by its name, or
/// another build of what it replaces.
fn judged(
    candidate: &Candidate,
    running: &[RunningImage],
) -> Result<(Vec<String>, usize), Vec<String>> {
    let name = normalize(&candidate.name);
    let (by_its_name, by_others): (Vec<&RunningImage>, Vec<&RunningImage>) = running
        .iter()
        .partition(|one| normalize(&one.image) == name);
    if by_its_name.is_empty() {
        return Err(vec![format!(
            "no container runs {}, the candidate for {}",
            candidate.name, candidate.replaces
        )]);
    }
    let replaced = repository(&reference_of(&candidate.replaces));
    let stale = by_others
        .iter()
        .filter(|one| repository(&one.image) == replaced)
        .map(|one| {
            format!(
                "{} runs {}, and the candidate for {} is {}",
                one.container, one.image, candidate.replaces, candidate.name
            )
        });
    let wrong: Vec<String> = by_its_name
        .iter()
        .filter(|one| !candidate.digests.is_empty() && !candidate.digests.contains(one.digest()))
        .map(|one| {
            let expected: Vec<&str> = candidate.digests.iter().map(String::as_str).collect();
            format!(
                "{} runs {}, and the candidate for {} is {}",
                one.container,
                one.id,
                candidate.replaces,
                expected.join(" or ")
            )
        })
        .chain(stale)
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let digests: BTreeSet<&str> = by_its_name.iter().map(|one| one.digest()).collect();
    let digests: Vec<String> = digests.into_iter().map(str::to_owned).collect();
    if candidate.digests.is_empty() && digests.len() > 1 {
        return Err(vec![format!(
            "containers run {} by the name {}, and the candidate for {} is one image (nodes of several architectures may tell a digest each)",
            digests.join(" and "),
            candidate.name,
            candidate.replaces
        )]);
    }
    Ok((digests, by_its_name.len()))
}

/// An image's name without its tag and digest.
fn repository(reference: &str) -> String {
    let name = normalize(reference);
    let name = name.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        // What stands before the `:` is a host, and its port behind.
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(image: &str, id: &str) -> RunningImage {
        RunningImage {
            container: format!("one: mesh/{image}"),
            image: image.to_owned(),
            id: id.to_owned(),
        }
    }

    fn candidate(digests: &[&str]) -> Candidate {
        Candidate {
            replaces: "control-plane".to_owned(),
            name: "c:1".to_owned(),
            digests: digests.iter().map(|&digest| digest.to_owned()).collect(),
        }
    }

    #[test]
    fn what_runs_by_the_candidates_name_must_be_it_by_either_digest() {
        let known = candidate(&["sha256:config", "sha256:manifest"]);
        let good = [
            running("c:1", "sha256:config"),
            running("c:1", "r.example/c@sha256:manifest"),
            running("other:1", "sha256:other"),
        ];
        let (digests, containers) = judged(&known, &good).unwrap();
        assert_eq!(digests, ["sha256:config", "sha256:manifest"]);
        assert_eq!(containers, 2);

        let stale = [good[0].clone(), running("c:1", "sha256:old")];
        let told = judged(&known, &stale).unwrap_err();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("runs sha256:old, and the candidate"),
            "{told:?}"
        );
    }

    #[test]
    fn who_runs_another_build_of_what_is_replaced_is_told() {
        let known = candidate(&["sha256:config"]);
        let new = running("docker.io/library/c:1", "sha256:config");
        let bug = running("meshproof/control-plane-mutants:dev", "sha256:bug");
        let (_, containers) = judged(&known, &[new.clone(), bug]).unwrap();
        assert_eq!(containers, 1);

        let old = "meshproof/control-plane:sha256-old";
        for image in [old, &format!("docker.io/{old}")] {
            let told = judged(&known, &[new.clone(), running(image, "sha256:old")]).unwrap_err();
            let expected = format!(
                "one: mesh/{image} runs {image}, and the candidate for control-plane is c:1"
            );
            assert_eq!(told, [expected]);
        }
    }

    #[test]
    fn a_repository_is_a_name_without_tag_and_digest() {
        for reference in [
            "h:5000/a/b",
            "h:5000/a/b:1",
            "h:5000/a/b@sha256:00",
            "h:5000/a/b:1@sha256:00",
        ] {
            assert_eq!(repository(reference), "h:5000/a/b", "{reference}");
        }
    }

    #[test]
    fn a_candidate_that_nobody_runs_is_told() {
        let others = [running("c:2", "sha256:config")];
        let told = judged(&candidate(&["sha256:config"]), &others).unwrap_err();
        assert_eq!(
            told,
            ["no container runs c:1, the candidate for control-plane"]
        );
    }

    #[test]
    fn of_what_nodes_pull_the_digest_is_what_they_say() {
        let pulled = [running("c:1", "r.example/c@sha256:pulled")];
        let (digests, _) = judged(&candidate(&[]), &pulled).unwrap();
        assert_eq!(digests, ["sha256:pulled"]);

        let two = [pulled[0].clone(), running("c:1", "sha256:before")];
        let told = judged(&candidate(&[]), &two).unwrap_err();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("sha256:before and sha256:pulled by the name c:1"),
            "{told:?}"
        );
    }
}
