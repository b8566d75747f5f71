//! The demo service: a small shop whose routes differ in how fast they are and how often they fail.

mod latency;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use latency::Latency;

/// Products are numbered from 1 to this.
pub const PRODUCTS: u32 = 480;

const HOME: Latency = Latency::new(2, 0.35);
const LIST: Latency = Latency::new(11, 0.45);
const PRODUCT: Latency = Latency::new(5, 0.40);
const CART: Latency = Latency::new(7, 0.50);
const CHECKOUT: Latency = Latency::new(48, 0.50);
const ORDER: Latency = Latency::new(16, 0.60);
const SEARCH: Latency = Latency::new(24, 0.80);
/// Of checkouts: the payment fails, or takes its time.
const PAYMENT_FAILS: f64 = 0.04;
const PAYMENT_IS_SLOW: f64 = 0.05;
const SLOW_PAYMENT: Duration = Duration::from_millis(450);

/// Serves until it is dropped.
pub struct Demo {
    pub address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl Demo {
    /// On any free port of the loopback address.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(axum::serve(listener, shop()).into_future());
        Ok(Self { address, serving })
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn shop() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/products", get(products))
        .route("/products/{id}", get(product))
        .route("/cart", get(cart))
        .route("/checkout", post(checkout))
        .route("/users/{user}/orders/{order}", get(order))
        .route("/search", get(search))
        .fallback(nothing)
}

async fn home() -> Json<Value> {
    HOME.pass().await;
    Json(json!({ "shop": "Ridealong demo", "products": "/products", "search": "/search?q=lamp" }))
}

async fn products() -> Json<Value> {
    LIST.pass().await;
    Json((1..=24).map(described).collect())
}

async fn product(Path(id): Path<u32>) -> Result<Json<Value>, StatusCode> {
    PRODUCT.pass().await;
    if (1..=PRODUCTS).contains(&id) { Ok(Json(described(id))) } else { Err(StatusCode::NOT_FOUND) }
}

async fn cart() -> Json<Value> {
    CART.pass().await;
    Json(json!({ "items": (0..fastrand::u32(0..4)).map(|at| described(7 + at)).collect::<Vec<_>>() }))
}

async fn checkout() -> (StatusCode, Json<Value>) {
    CHECKOUT.pass().await;
    if fastrand::f64() < PAYMENT_IS_SLOW {
        tokio::time::sleep(SLOW_PAYMENT.mul_f64(0.8 + fastrand::f64())).await;
    }
    if fastrand::f64() < PAYMENT_FAILS {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "the payment provider did not answer" })));
    }
    (StatusCode::CREATED, Json(json!({ "order": fastrand::u32(1..100_000), "status": "paid" })))
}

async fn order(Path((user, order)): Path<(u32, u32)>) -> Json<Value> {
    ORDER.pass().await;
    Json(json!({ "user": user, "order": order, "items": [described(order % PRODUCTS + 1)] }))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    q: String,
}

async fn search(Query(Wanted { q }): Query<Wanted>) -> Json<Value> {
    SEARCH.pass().await;
    let first = q.bytes().map(u32::from).sum::<u32>() % (PRODUCTS - 8) + 1;
    Json(json!({ "q": q, "found": (first..first + 8).map(described).collect::<Vec<_>>() }))
}

async fn nothing(uri: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("there is nothing at {}\n", uri.path()))
}

fn described(id: u32) -> Value {
    const NAMES: [&str; 6] = ["lamp", "chair", "table", "shelf", "rug", "clock"];
    let name = NAMES[id as usize % NAMES.len()];
    json!({ "id": id, "name": format!("{name} no. {id}"), "price": f64::from(id % 90 * 100 + 990) / 100.0 })
}
