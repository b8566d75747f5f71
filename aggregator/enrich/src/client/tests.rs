use super::memory::Memory;
use super::*;

fn seen(text: &str) -> (Option<&'static str>, Option<String>, Option<String>, bool) {
    let client = Clients::default().client(text);
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    (client.device_type, text(&client.platform), text(&client.browser), client.is_bot)
}

/// User agent, kind of device, platform, browser.
type Case = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>);

#[test]
fn the_kinds_of_devices_are_told_apart() {
    let cases: [Case; 11] = [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            Some("desktop"),
            Some("Windows"),
            Some("Chrome"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
            Some("mobile"),
            Some("iOS"),
            Some("Mobile Safari"),
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
            Some("tablet"),
            Some("iOS"),
            Some("Mobile Safari"),
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
            Some("mobile"),
            Some("Android"),
            Some("Chrome Mobile"),
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            Some("tablet"),
            Some("Android"),
            Some("Chrome"),
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Some("bot"),
            None,
            Some("Googlebot"),
        ),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
            Some("tv"),
            Some("Tizen"),
            Some("Safari"),
        ),
        (
            "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
            Some("console"),
            None,
            Some("Safari"),
        ),
        (
            "atc/1.0 watchOS/5.1.3 model/Watch3,4 hwp/t8004 build/16S535 (6; dt:156)",
            Some("wearable"),
            Some("WatchOS"),
            Some("Apple Watch App"),
        ),
        ("curl/8.14.1", None, None, Some("curl")),
        ("nonsense", None, None, None),
    ];
    for (text, device, platform, browser) in &cases {
        let expected = (*device, platform.map(str::to_owned), browser.map(str::to_owned), *device == Some(kind::BOT));
        assert_eq!(seen(text), expected, "{text}");
    }
}

#[test]
fn memory_stays_within_its_bytes_and_keeps_what_comes_again() {
    let memory = Memory::new(64 << 10);
    let mut asked = 0;
    for number in 0..10_000 {
        for text in ["often".to_owned(), format!("once {number}")] {
            memory.get_or(&text, || {
                asked += usize::from(text == "often");
                Client::default()
            });
        }
    }
    assert_eq!(asked, 1, "what comes again is found again");
    assert!(memory.bytes() <= 64 << 10, "{}", memory.bytes());
    let huge = "x".repeat(1 << 20);
    memory.get_or(&huge, Client::default);
    assert!(memory.bytes() <= 64 << 10, "{}", memory.bytes());
}
