//! Makes the calls of a conformance plan with the generated Rust code, and reports their outcomes.
//!
//! README.md in the folder above describes the plan and the outcomes.

mod calls;
mod json;
mod outcome;
mod plan;
mod wire;

use std::{env, error::Error, ffi::OsString, fs, path::Path, process::ExitCode};

use futures_util::future::join_all;
use json::Json;
use plan::Plan;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [plan, outcomes] = arguments.as_slice() else {
        eprintln!("usage: runner PLAN OUTCOMES");
        return ExitCode::from(2);
    };
    match run(plan.as_ref(), outcomes.as_ref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the calls, one after the other, and writes their outcomes.
async fn run(plan: &Path, outcomes: &Path) -> Result<(), Box<dyn Error>> {
    let plan: Plan = serde_json::from_slice(&fs::read(plan)?)?;
    if plan.transport != "grpc" {
        return Err(format!("this runner has no transport {}, only grpc", plan.transport).into());
    }
    let json = Json::new()?;
    let mut made = Vec::new();
    for case in &plan.cases {
        let calls = (0..case.at_once).map(|_| calls::run(&json, case));
        made.extend(join_all(calls).await);
    }
    let text = serde_json::to_vec_pretty(&serde_json::json!({ "outcomes": made }))?;
    Ok(fs::write(outcomes, text)?)
}
