//! What a visitor does next: one of the shop's routes, some far more often than others.

use crate::demo::PRODUCTS;

#[derive(Debug)]
pub enum Step {
    Home,
    Products,
    Product(u32),
    Cart,
    Checkout,
    Order { user: u32, order: u32 },
    Search(&'static str),
    Stray(&'static str),
}

const WORDS: [&str; 6] = ["lamp", "chair", "oak+table", "shelf", "rug", "wall+clock"];
const STRAYS: [&str; 4] = ["/favicon.ico", "/wp-login.php", "/.env", "/robots.txt"];

impl Step {
    /// Of a hundred steps, so many of each.
    pub fn draw() -> Self {
        match fastrand::u32(0..100) {
            0..20 => Self::Home,
            20..36 => Self::Products,
            // A few ask for what is sold out and gone.
            36..62 => Self::Product(fastrand::u32(1..=PRODUCTS + PRODUCTS / 20)),
            62..74 => Self::Cart,
            74..80 => Self::Checkout,
            80..88 => Self::Order { user: fastrand::u32(1..5_000), order: fastrand::u32(1..90_000) },
            88..98 => Self::Search(WORDS[fastrand::usize(..WORDS.len())]),
            _ => Self::Stray(STRAYS[fastrand::usize(..STRAYS.len())]),
        }
    }

    pub fn path(&self) -> String {
        match self {
            Self::Home => "/".into(),
            Self::Products => "/products".into(),
            Self::Product(id) => format!("/products/{id}"),
            Self::Cart => "/cart".into(),
            Self::Checkout => "/checkout".into(),
            Self::Order { user, order } => format!("/users/{user}/orders/{order}"),
            Self::Search(words) => format!("/search?q={words}"),
            Self::Stray(path) => (*path).into(),
        }
    }

    pub const fn is_post(&self) -> bool {
        matches!(self, Self::Checkout)
    }

    /// What is worth an event when it succeeds.
    pub const fn event_type(&self) -> Option<&'static str> {
        match self {
            Self::Checkout => Some("order_placed"),
            Self::Search(_) => Some("product_searched"),
            _ => None,
        }
    }
}
