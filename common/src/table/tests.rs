use std::collections::HashSet;

use super::*;

#[test]
fn column_ids_and_names_are_unique_within_a_table() {
    for table in Table::ALL.into_iter().chain(Table::DERIVED) {
        let ids: HashSet<u16> = table.columns().iter().map(|column| column.id).collect();
        let names: HashSet<&str> = table.columns().iter().map(|column| column.name).collect();
        assert_eq!(ids.len(), table.columns().len(), "{}", table.name());
        assert_eq!(names.len(), table.columns().len(), "{}", table.name());
    }
}

#[test]
fn a_table_is_found_by_its_number_and_by_its_name() {
    for table in Table::ALL {
        assert_eq!(Table::from_number(table as u8), Some(table));
        assert_eq!(Table::from_name(table.name()), Some(table));
    }
    for table in Table::DERIVED {
        assert_eq!(Table::from_number(table as u8), None, "it stands in no log and no frame");
        assert_eq!(Table::from_name(table.name()), Some(table));
        assert!(!table.comes_from_agents());
    }
    assert_eq!(Table::from_number(0), None);
    assert_eq!(Table::from_number(200), None);
}
