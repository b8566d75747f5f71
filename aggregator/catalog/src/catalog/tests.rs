use std::path::Path;

use ridealong_wal::disk::RealDisk;

use super::*;

fn open(folder: &Path) -> Catalog {
    Catalog::open(Arc::new(RealDisk::new(folder).expect("a folder"))).expect("a catalog")
}

fn segment(name: &str, condition: &str) -> Segment {
    Segment { name: name.into(), condition: condition.into() }
}

#[test]
fn everything_is_off_until_it_is_switched_on_and_stays_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (TenantId::default_tenant(), TenantId::parse("other").expect("a tenant"));
    let catalog = open(folder.path());
    assert_eq!(catalog.corrections(&ours), Corrections::default());
    let set = catalog.change(&ours, |settings| {
        settings.corrections.clock_skew = true;
        Ok(())
    });
    assert!(set.expect("set").corrections.clock_skew);
    drop(catalog);
    let catalog = open(folder.path());
    assert_eq!(catalog.corrections(&ours), Corrections { clock_skew: true, ..Corrections::default() });
    assert_eq!(catalog.corrections(&theirs), Corrections::default());
}

#[test]
fn what_is_invalid_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let tenant = TenantId::default_tenant();
    let catalog = open(folder.path());
    let set = |segments: Vec<Segment>| {
        catalog.change(&tenant, |settings| {
            settings.segments = segments;
            Ok(())
        })
    };
    set(vec![segment("big", "orders > 10")]).expect("set");
    let faults: Vec<(Vec<Segment>, &str)> = vec![
        (vec![segment("a b", "x")], "no name of a segment"),
        (vec![segment("a", " ")], "when must have"),
        (vec![segment("a", "x"), segment("a", "y")], "stands twice"),
        ((0..=100).map(|number| segment(&format!("s{number}"), "x")).collect(), "at most 100"),
    ];
    for (segments, expected) in faults {
        let error = set(segments).expect_err("invalid");
        assert!(error.to_string().contains(expected), "{error}");
    }
    catalog.change(&tenant, |_| Err("not now".to_owned())).expect_err("what the caller says is wrong is");
    let expected = [segment::Segment { name: "big".into(), condition: "orders > 10".into() }];
    assert_eq!(*catalog.segments(&tenant), expected);
    assert_eq!(*open(folder.path()).segments(&tenant), expected);
}
