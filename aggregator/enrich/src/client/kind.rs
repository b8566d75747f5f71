//! The kind of a device, by uap-core's answers and, where these leave it open, by the words that browsers agree on.

use crate::user_agent::{Device, OTHER};

pub(super) const BOT: &str = "bot";

/// Systems and devices by the beginning of their family, in the order in which they are tried.
const SYSTEMS: &[(&str, &[&str])] = &[
    ("tv", &["tvOS", "ATV OS", "GoogleTV", "Roku", "Chromecast", "Web0S", "WebTV", "FireHbbTV", "Samsung", "Philips"]),
    ("wearable", &["WatchOS"]),
    ("tablet", &["BlackBerry Tablet OS", "Kindle", "WeTab", "Windows RT"]),
    (
        "mobile",
        &[
            "iOS",
            "Windows Phone",
            "Windows Mobile",
            "Windows CE",
            "BlackBerry",
            "Symbian",
            "Firefox OS",
            "KaiOS",
            "Bada",
            "Brew",
            "BREW",
            "Nokia",
            "MeeGo",
            "Maemo",
            "Sailfish",
            "Tizen",
            "HarmonyOS",
            "webOS",
            "MRE",
            "VRE",
        ],
    ),
    (
        "desktop",
        &[
            "Windows",
            "Mac OS",
            "Linux",
            "Chrome OS",
            "Ubuntu",
            "Debian",
            "Fedora",
            "Red Hat",
            "Gentoo",
            "Mandriva",
            "Mint",
            "SUSE",
            "CentOS",
            "Arch",
            "Slackware",
            "Puppy",
            "PCLinuxOS",
            "Kubuntu",
            "VectorLinux",
            "FreeBSD",
            "OpenBSD",
            "NetBSD",
            "BSD",
            "Solaris",
            "SerenityOS",
            "AIX",
            "HP-UX",
            "BeOS",
            "Haiku",
        ],
    ),
];
const DEVICES: &[(&str, &[&str])] = &[
    ("tv", &["HbbTV", "AppleTV", "Inettv", "Roku", "Chromecast", "GoogleTV", "WebTV"]),
    ("console", &["PlayStation", "Xbox", "Nintendo", "Sony PlayStation"]),
    ("wearable", &["Apple Watch"]),
    ("tablet", &["iPad", "Kindle", "BlackBerry Playbook", "Generic Tablet", "Generic_Android_Tablet"]),
    ("mobile", &["iPhone", "iPod", "Generic Smartphone", "Generic Feature Phone"]),
];

pub(super) fn device_type(user_agent: &str, system: &str, device: &Device) -> Option<&'static str> {
    if device.family == "Spider" {
        return Some(BOT);
    }
    let says = |word: &str| user_agent.contains(word);
    if let Some(kind) = begins(DEVICES, &device.family) {
        return Some(kind);
    }
    if ["PlayStation", "PLAYSTATION", "Xbox", "Nintendo"].into_iter().any(says) {
        return Some("console");
    }
    if ["SmartTV", "SMART-TV", "Smart-TV", "HbbTV", "AppleTV", "GoogleTV", "Android TV", "BRAVIA"].into_iter().any(says)
    {
        return Some("tv");
    }
    match system {
        // By the convention of Android's own browser, telephones say Mobile and tablets do not.
        "Android" if says("Mobile") && !says("Tablet") => Some("mobile"),
        "Android" if says("Mozilla/") => Some("tablet"),
        "Android" => Some("mobile"),
        OTHER if device.brand.is_some() => Some(if says("Tablet") { "tablet" } else { "mobile" }),
        OTHER => says("Mobile").then_some("mobile"),
        _ if says("Tablet;") || says("(Tablet") => Some("tablet"),
        _ => begins(SYSTEMS, system),
    }
}

fn begins(table: &[(&'static str, &[&str])], family: &str) -> Option<&'static str> {
    table.iter().find(|(_, families)| families.iter().any(|known| family.starts_with(known))).map(|(kind, _)| *kind)
}
