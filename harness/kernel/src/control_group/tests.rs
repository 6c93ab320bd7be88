//! Tests of where groups are and what is written to them.

use super::*;

/// This repository's usual machine: version 1, and an empty hierarchy of version 2.
const V1: Here<'static> = Here {
    mounts: "25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                 26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                 27 25 0:24 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
                 29 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory\n\
                 34 25 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
    own: "9:name=systemd:/\n4:memory:/a/b\n2:cpuacct:/\n1:cpu:/\n0::/\n",
};

#[test]
fn of_version_1_it_is_below_the_own_group_of_each_hierarchy() {
    let home = Home::V1 {
        memory: "/sys/fs/cgroup/memory/a/b/run".into(),
        cpu: "/sys/fs/cgroup/cpu/run".into(),
    };
    assert_eq!(V1.places("run", |_| false), [home]);
    let joined = Here {
        mounts: "1 1 0:1 /docker/x /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                     2 1 0:2 /docker/x /cg/memory rw - cgroup cgroup rw,memory\n",
        own: "2:cpu,cpuacct:/docker/x\n3:memory:/docker/x/y\n",
    };
    let home = Home::V1 {
        memory: "/cg/memory/y/run".into(),
        cpu: "/cg/cpu,cpuacct/run".into(),
    };
    assert_eq!(joined.places("run", |_| false), [home]);
}

#[test]
fn of_version_2_it_is_below_the_nearest_group_that_hands_controllers_on() {
    let here = Here {
        mounts: "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
        own: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n",
    };
    let handing = [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/user.slice/user-1000.slice",
    ];
    let places = here.places("run", |folder| {
        handing.iter().any(|known| folder == Path::new(known))
    });
    let home = |folder: &str| Home::V2 {
        folder: folder.into(),
    };
    assert_eq!(
        places,
        [
            home("/sys/fs/cgroup/user.slice/user-1000.slice/run"),
            home("/sys/fs/cgroup/run")
        ]
    );
    assert_eq!(here.places("run", |_| false), []);
    assert!(hands_on("cpuset cpu memory pids\n"));
    assert!(!hands_on("cpuset memory pids\n") && !hands_on(""));
}

#[test]
fn limits_are_in_the_words_of_the_kernel() {
    assert_eq!(quota(250), 25_000);
    assert_eq!(quota(2_000), 200_000);
    assert_eq!(quota(1), LEAST_QUOTA);
    assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
    assert_eq!(
        kills("low 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n"),
        1
    );
    assert_eq!(kills("oom_kill_disable 0\n"), 0);
}

/// The files of version 2 as they are in a folder that is no hierarchy: what is written where.
#[test]
fn a_group_of_version_2_has_its_limits_in_its_own_files() {
    let scratch = tempfile::tempdir().unwrap();
    let home = Home::V2 {
        folder: scratch.path().to_owned(),
    };
    assert!(home.group("none", &Limits::default()).unwrap().is_none());
    let limits = Limits {
        memory: Some(1 << 20),
        cpu: Some(1_500),
    };
    let group = home.group("one", &limits).unwrap().unwrap();
    let folder = scratch.path().join("one");
    let said = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    assert_eq!(said("memory.max"), "1048576");
    assert_eq!(said("memory.swap.max"), "0");
    assert_eq!(said("cpu.max"), "150000 100000");
    assert_eq!(group.entrances(), [folder.join("cgroup.procs")]);
    assert!(!group.has_run_out_of_memory());
    fs::write(folder.join("memory.events"), "oom 1\noom_kill 1\n").unwrap();
    assert!(group.has_run_out_of_memory());
}

#[test]
fn groups_are_removed_with_those_below_and_what_is_not_there_is_fine() {
    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path().join("top");
    fs::create_dir_all(top.join("a/b")).unwrap();
    remove(&top).unwrap();
    assert!(!top.exists());
    remove(&top).unwrap();
}
