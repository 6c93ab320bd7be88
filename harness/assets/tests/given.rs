//! Programs that are given in a folder, where nothing may be made: Envoy is missed only where images need it.

use harness_assets::{
    Asset, AssetError, AssetOptions, Downloads, ForImages, kind_programs, missing, obtain,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// These programs in a folder, and nothing in the cache.
fn given(folder: &Path, programs: &[Asset]) -> AssetOptions {
    for program in programs {
        let path = folder.join(program.file_name());
        fs::write(&path, "#!/bin/sh\n").expect("write a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    }
    AssetOptions {
        folders: vec![folder.to_owned()],
        cache: folder.join("cache"),
        offline: true,
        downloads: Downloads::Off,
    }
}

/// What an attempt did not find.
fn not_here<T>(attempt: Result<T, AssetError>) -> Vec<Asset> {
    match attempt {
        Err(AssetError::NotHere { missing }) => missing,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn a_local_cluster_misses_envoy_only_where_images_need_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let options = given(folder.path(), &Asset::CLUSTER);
    let programs = obtain(&options, ForImages::Nothing, &|_| ()).expect("everything is there");
    assert_eq!(programs.etcd, folder.path().join("etcd"));
    assert_eq!(programs.envoy, None);
    let ready = missing(&options, ForImages::Nothing).expect("the folder is there");
    assert!(ready.is_empty(), "{ready:?}");

    let lacks = missing(&options, ForImages::Envoy).expect("the folder is there");
    assert_eq!(lacks, [Asset::Envoy]);
    let attempt = obtain(&options, ForImages::Envoy, &|_| ());
    assert_eq!(not_here(attempt), [Asset::Envoy]);

    let options = given(folder.path(), &[Asset::Envoy]);
    let programs = obtain(&options, ForImages::Envoy, &|_| ()).expect("everything is there");
    assert_eq!(programs.envoy, Some(folder.path().join("envoy")));
}

#[test]
fn a_kind_cluster_misses_envoy_only_where_images_need_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let options = given(folder.path(), &[Asset::Kind]);
    let programs =
        kind_programs(&options, ForImages::Nothing, &|_| ()).expect("everything is there");
    assert_eq!(programs.kind, folder.path().join("kind"));
    assert_eq!(programs.envoy, None);

    let attempt = kind_programs(&options, ForImages::Envoy, &|_| ());
    assert_eq!(not_here(attempt), [Asset::Envoy]);

    let options = given(folder.path(), &[Asset::Envoy]);
    let programs = kind_programs(&options, ForImages::Envoy, &|_| ()).expect("everything is there");
    assert_eq!(programs.envoy, Some(folder.path().join("envoy")));
}
