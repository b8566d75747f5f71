use std::path::Path;

use ridealong_common::block::{Cell, Values};
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};

use super::*;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn enricher() -> Enricher {
    // Tests run in their package's folder.
    Enricher::new(
        Places::open(Path::new("../enrich/src/place/fixture/GeoIP2-City-Test.mmdb")).expect("a file of places"),
    )
}

fn enriched(contexts: &[Value]) -> CheckedBlock {
    let event = |context| json!({ "eventType": "a", "timestamp": "2026-11-22T23:59:59Z", "context": context });
    let read =
        |context| TrackedEvent::from_json(&event(context), &Defaults::default(), Timestamp(0)).expect("an event");
    let rows: Vec<TrackedEvent> = contexts.iter().map(read).collect();
    let block = TrackedEvent::block(&rows);
    let encoded = block.encode().expect("encodes");
    let bytes = enricher().enrich(encoded.into(), block.check(Table::Events).expect("checks"));
    Block::decode(&bytes).expect("decodes").check(Table::Events).expect("what is enriched can be read")
}

fn text(block: &CheckedBlock, row: usize, id: u16) -> Option<String> {
    match block.cell(row, id) {
        Cell::Text(text) => Some(text.to_owned()),
        Cell::Null => None,
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn a_user_agent_becomes_kind_platform_browser_and_whether_it_is_a_bot() {
    use events::{BROWSER, DEVICE_TYPE, IS_BOT, PLATFORM};
    let block = enriched(&[json!({ "userAgent": FIREFOX }), json!({}), json!({ "userAgent": GOOGLEBOT })]);
    let row = |row| [DEVICE_TYPE, PLATFORM, BROWSER].map(|id| text(&block, row, id));
    assert_eq!(row(0), [Some("desktop".into()), Some("Linux".into()), Some("Firefox".into())]);
    assert_eq!(row(1), [None, None, None]);
    assert_eq!(row(2), [Some("bot".into()), None, Some("Googlebot".into())]);
    let bots = [0, 1, 2].map(|row| block.cell(row, IS_BOT));
    assert_eq!(bots, [Cell::Integer(0), Cell::Null, Cell::Integer(1)]);
}

#[test]
fn what_the_sender_said_wins_row_by_row() {
    let own = json!({ "userAgent": FIREFOX, "deviceType": "kiosk", "platform": "ourOS" });
    let block = enriched(&[own, json!({ "userAgent": FIREFOX })]);
    let kinds = [0, 1].map(|row| text(&block, row, events::DEVICE_TYPE));
    assert_eq!(kinds, [Some("kiosk".into()), Some("desktop".into())]);
    let platforms = [0, 1].map(|row| text(&block, row, events::PLATFORM));
    assert_eq!(platforms, [Some("ourOS".into()), Some("Linux".into())]);
}

#[test]
fn an_address_becomes_a_place_where_the_sender_names_none() {
    use events::{CITY, COUNTRY, REGION};
    let address = "2.125.160.216";
    let block = enriched(&[
        json!({ "ipAddress": address }),
        json!({ "ipAddress": address, "location": { "country": "NL" } }),
        json!({ "ipAddress": address, "location": { "city": "Delft" } }),
        json!({ "ipAddress": "10.0.0.1" }),
        json!({}),
    ]);
    let row = |row| [COUNTRY, REGION, CITY].map(|id| text(&block, row, id));
    assert_eq!(row(0), [Some("GB".into()), Some("ENG".into()), Some("Boxford".into())]);
    assert_eq!(row(1), [Some("NL".into()), None, None]);
    assert_eq!(row(2), [None, None, Some("Delft".into())]);
    assert_eq!((row(3), row(4)), ([None, None, None], [None, None, None]));
}

#[test]
fn the_same_in_every_row_is_stored_once() {
    let block = enriched(&vec![json!({ "userAgent": FIREFOX }); 500]);
    assert!(matches!(block.values(events::BROWSER), Some(Values::Text(text)) if text == "Firefox"));
    assert!(matches!(block.values(events::HOUR), Some(Values::Integer(23))));
    assert!(matches!(block.values(events::WEEKDAY), Some(Values::Integer(7))), "22 November 2026 is a Sunday");
}

#[test]
fn weekdays_before_and_after_1970() {
    for (time, expected) in [
        ("1969-12-31T23:59:59.999999Z", 3),
        ("1970-01-01T00:00:00Z", 4),
        ("2000-02-29T12:00:00Z", 2),
        ("2026-11-23T00:00:00Z", 1),
        ("0001-01-01T00:00:00Z", 1),
    ] {
        assert_eq!(weekday(Timestamp::parse(time).expect("a time").micros()), expected, "{time}");
    }
}
