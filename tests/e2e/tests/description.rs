//! The aggregator's description against the aggregator: what it names is served, what it does not name is not.

use std::collections::BTreeSet;

use anyhow::Result;
use reqwest::Method;
use ridealong_e2e::Aggregator;
use ridealong_e2e::process::run;
use serde_json::Value;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

#[tokio::test]
async fn each_path_takes_the_methods_that_are_described_and_no_others() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let api = aggregator.api();
    let answer = api.get("/openapi.json").await?.expect(200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let document = answer.json();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 20, "{}", paths.len());
    for (path, item) in paths {
        let described: BTreeSet<String> =
            item.as_object().expect("methods").keys().map(|method| method.to_ascii_uppercase()).collect();
        // No such event, job and so on: nothing happens to anything.
        let url = api.url(&path.replace("{eventId}", "none").replace("{name}", "none"));
        for method in METHODS.iter().filter(|method| !described.contains(**method)) {
            let request = api.client().request(Method::from_bytes(method.as_bytes())?, &url);
            let answer = api.send(request).await?;
            assert_eq!(answer.problem(405), "no-such-method", "{method} {path}");
            let allowed: BTreeSet<String> =
                answer.headers["allow"].to_str()?.split(',').map(str::to_owned).filter(|it| it != "HEAD").collect();
            assert_eq!(allowed, described, "{path}");
        }
    }
    let stray = api.get("/api/analytics/none").await?;
    assert_eq!(stray.problem(404), "no-such-path");
    Ok(())
}

#[tokio::test]
async fn the_program_prints_what_the_server_serves() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let served: Value = aggregator.api().get("/openapi.json").await?.expect(200).json();
    let printed = run("ridealong-aggregator", &aggregator.folder(), &["openapi"], &[]).await?;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let printed: Value = serde_json::from_str(&printed.stdout)?;
    assert_eq!(printed, served);
    Ok(())
}
