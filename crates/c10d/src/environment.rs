//! `env://`: what the launcher says about this rank.

use crate::listen::is_loopback;
use crate::secret;
use crate::store::StoreKind;
use crate::{Error, Result, Secret};

/// Says, with the value `authenticated`, that a launcher's store asks for the run's secret:
/// torchrun's does not.
pub(crate) const STORE: &str = "FACESHIELD_STORE";
const AUTHENTICATED: &str = "authenticated";

/// The variables that tell a rank of a launcher's store: ours, which asks for the secret if
/// there is one. An empty one is as good as none.
pub fn store_variables(secret: Option<&Secret>) -> Vec<(&'static str, String)> {
    let none = || (secret::VARIABLE, String::new());
    let (state, secret) = match secret {
        Some(secret) => (AUTHENTICATED, secret.variable()),
        None => ("", none()),
    };
    vec![(STORE, state.to_owned()), secret, (secret::FILE_VARIABLE, String::new())]
}

const REQUIRED: [&str; 5] = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"];

/// This rank's place in a run of several processes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) local_rank: usize,
    pub(crate) size: usize,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The launcher's agent keeps the store; else rank 0 does.
    pub(crate) agent: bool,
    pub(crate) keeps_store: bool,
    pub(crate) store: StoreKind,
    /// All ranks are on this machine, so Gloo can talk over loopback.
    pub(crate) loopback: bool,
    /// The run's id, and which of its attempts this is: ranks of others are no peers.
    pub(crate) run: String,
    pub(crate) attempt: String,
}

/// Reads the variables through `get`; `None` is a process alone.
pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Place>> {
    let get = |name: &str| get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| get(name).is_none()).collect();
    if missing.len() == REQUIRED.len() {
        return Ok(None);
    }
    if missing.contains(&"MASTER_ADDR") && get("WORLD_SIZE").as_deref() == Some("1") {
        return Ok(None);
    }
    if !missing.is_empty() {
        let set: Vec<&str> = REQUIRED.into_iter().filter(|name| !missing.contains(name)).collect();
        return Err(Error::BadEnvironment(format!(
            "{} is set but {} is not: start the ranks with a launcher (faceshield launch, \
             torchrun), or unset all of them to run alone",
            set.join(", "),
            missing.join(", ")
        )));
    }
    let number = |name: &str| -> Result<usize> {
        let text = get(name).unwrap_or_default();
        // c10d counts ranks in C ints.
        text.parse::<i32>().ok().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            Error::BadEnvironment(format!("{name}={text} is not a whole number from 0 to 2³¹−1"))
        })
    };
    let (rank, local_rank, size) = (number("RANK")?, number("LOCAL_RANK")?, number("WORLD_SIZE")?);
    if rank >= size {
        return Err(Error::BadEnvironment(format!(
            "RANK={rank} is not below WORLD_SIZE={size}: ranks count from 0"
        )));
    }
    let text = get("MASTER_PORT").unwrap_or_default();
    let port = text.parse::<u16>().ok().filter(|&port| port > 0 || size == 1).ok_or_else(|| {
        Error::BadEnvironment(format!("MASTER_PORT={text} is not a port from 1 to 65535"))
    })?;
    let host = get("MASTER_ADDR").unwrap_or_default();
    let one_machine = get("LOCAL_WORLD_SIZE") == Some(size.to_string());
    let agent = get("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True");
    let secret = Secret::read(get)?;
    let store = match agent && get(STORE).as_deref() != Some(AUTHENTICATED) {
        true => StoreKind::Open(secret),
        false => StoreKind::ours(secret.as_ref()),
    };
    Ok(Some(Place {
        rank,
        store,
        local_rank,
        size,
        port,
        agent,
        keeps_store: rank == 0 && !agent,
        loopback: one_machine || is_loopback(&host),
        run: get("TORCHELASTIC_RUN_ID").unwrap_or_else(|| "none".into()),
        attempt: get("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".into()),
        host,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_from(variables: &[(&str, &str)]) -> Result<Option<Place>> {
        read(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const GOOD: [(&str, &str); 5] = [
        ("RANK", "1"),
        ("LOCAL_RANK", "1"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node7"),
        ("MASTER_PORT", "29500"),
    ];

    fn with(change: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
        let mut variables: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != change.0).collect();
        variables.push(change);
        variables
    }

    #[test]
    fn nothing_set_or_a_world_of_one_without_a_master_is_a_process_alone() {
        let alone = |variables: &[(&str, &str)]| read_from(variables).unwrap().is_none();
        assert!(alone(&[]) && alone(&[("WORLD_SIZE", "1")]));
        assert!(alone(&[("WORLD_SIZE", "1"), ("RANK", "0")]) && alone(&[("WORLD_SIZE", " ")]));
    }

    #[test]
    fn a_full_environment_is_a_place() {
        let place = read_from(&GOOD).unwrap().unwrap();
        assert_eq!((place.rank, place.local_rank, place.size, place.port), (1, 1, 2, 29500));
        assert!(!place.keeps_store && !place.loopback);
        assert!(read_from(&with(("RANK", "0"))).unwrap().unwrap().keeps_store);
        for host in ["localhost", "127.0.0.1", "127.0.1.1", "::1"] {
            assert!(read_from(&with(("MASTER_ADDR", host))).unwrap().unwrap().loopback);
        }
        assert!(read_from(&with(("LOCAL_WORLD_SIZE", "2"))).unwrap().unwrap().loopback);
    }

    #[test]
    fn an_agent_keeps_the_store_and_its_attempts_are_told_apart() {
        let mut variables = with(("RANK", "0"));
        variables.push(("TORCHELASTIC_USE_AGENT_STORE", "True"));
        variables.push(("TORCHELASTIC_RESTART_COUNT", "3"));
        let place = read_from(&variables).unwrap().unwrap();
        assert!(!place.keeps_store);
        assert_eq!((place.run.as_str(), place.attempt.as_str()), ("none", "3"));
    }

    #[test]
    fn a_secret_closes_every_store_but_torchruns() {
        let secret = ("FACESHIELD_RUN_SECRET", "0123456789abcdef");
        let agent = ("TORCHELASTIC_USE_AGENT_STORE", "True");
        let store = |more: &[(&'static str, &'static str)]| {
            let variables = [&GOOD[..], more].concat();
            read_from(&variables).unwrap().unwrap().store
        };
        assert!(matches!(store(&[]), StoreKind::Open(None)));
        assert!(matches!(store(&[secret]), StoreKind::Authenticated(_)));
        assert!(matches!(store(&[secret, agent]), StoreKind::Open(Some(_))));
        let ours = (STORE, AUTHENTICATED);
        assert!(matches!(store(&[secret, agent, ours]), StoreKind::Authenticated(_)));
        let told = store_variables(Some(&Secret::random().unwrap()));
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let place = read_from(&[&GOOD[..], &[agent], &told].concat()).unwrap().unwrap();
        assert!(matches!(place.store, StoreKind::Authenticated(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = |variables: &[(&str, &str)]| read_from(variables).unwrap_err().to_string();
        let partial = text(&[("WORLD_SIZE", "2"), ("RANK", "0")]);
        assert!(partial.contains("LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not"), "{partial}");
        assert!(text(&with(("RANK", "2"))).contains("RANK=2 is not below WORLD_SIZE=2"));
        assert!(text(&with(("RANK", "-1"))).contains("RANK=-1"));
        assert!(text(&with(("WORLD_SIZE", "two"))).contains("WORLD_SIZE=two"));
        assert!(text(&with(("MASTER_PORT", "70000"))).contains("MASTER_PORT=70000"));
        assert!(text(&with(("MASTER_PORT", "0"))).contains("MASTER_PORT=0"));
    }
}
