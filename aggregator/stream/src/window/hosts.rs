//! The newest sample of each host.

use std::collections::HashMap;

use super::scope::Scope;

/// A sample that is older says nothing of now: Prometheus' norm too, and a host sends one every ten seconds.
pub(crate) const SAMPLE_AGE_MAX_US: i64 = 300_000_000;
/// Hosts, each once for every service beside which an agent runs there.
const HOSTS_MAX: usize = 4_096;

#[derive(Default)]
pub(crate) struct Hosts {
    /// By host and service.
    newest: HashMap<(String, String), Sample>,
    /// Samples of hosts that there was no room for.
    pub unknown: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub environment: Option<String>,
    /// By the host's clock.
    pub timestamp_us: i64,
    /// By ours.
    pub received_at_us: i64,
    pub cpu: f64,
    pub memory_used: u64,
    pub memory_total: u64,
    pub disk_used: u64,
    pub disk_total: u64,
}

/// How loaded the hosts are together, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Utilization {
    /// The mean over the hosts.
    pub cpu: f64,
    /// What is used of all that they have.
    pub memory: Option<f64>,
    pub disk: Option<f64>,
    /// When the newest of the samples came.
    pub received_at_us: i64,
}

impl Hosts {
    pub fn add(&mut self, host: &str, service: &str, sample: Sample) {
        let key = (host.to_owned(), service.to_owned());
        let has_room = self.newest.len() < HOSTS_MAX;
        match self.newest.get_mut(&key) {
            Some(known) if known.timestamp_us > sample.timestamp_us && is_fresh(known, sample.received_at_us) => {}
            Some(known) => *known = sample,
            None if has_room => {
                self.newest.insert(key, sample);
            }
            None => self.unknown += 1,
        }
    }

    pub fn forget(&mut self, now_us: i64) {
        self.newest.retain(|_, sample| is_fresh(sample, now_us));
    }

    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    pub fn utilization(&self, scope: &Scope, now_us: i64) -> Option<Utilization> {
        let mut hosts: HashMap<&str, &Sample> = HashMap::new();
        let wanted = self.newest.iter().filter(|((_, service), sample)| {
            is_fresh(sample, now_us) && scope.holds(Some(service), sample.environment.as_deref())
        });
        for ((host, _), sample) in wanted {
            let newest = hosts.entry(host).or_insert(sample);
            if sample.timestamp_us > newest.timestamp_us {
                *newest = sample;
            }
        }
        let received_at_us = hosts.values().map(|sample| sample.received_at_us).max()?;
        let share = |used: fn(&Sample) -> u64, total: fn(&Sample) -> u64| {
            let sum = |of: fn(&Sample) -> u64| hosts.values().map(|sample| of(sample) as f64).sum::<f64>();
            Some(sum(total)).filter(|total| *total > 0.0).map(|total| sum(used) / total)
        };
        Some(Utilization {
            cpu: hosts.values().map(|sample| sample.cpu).sum::<f64>() / hosts.len() as f64,
            memory: share(|sample| sample.memory_used, |sample| sample.memory_total),
            disk: share(|sample| sample.disk_used, |sample| sample.disk_total),
            received_at_us,
        })
    }
}

fn is_fresh(sample: &Sample, now_us: i64) -> bool {
    sample.received_at_us > now_us - SAMPLE_AGE_MAX_US
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(timestamp_us: i64, cpu: f64) -> Sample {
        Sample {
            environment: Some("live".to_owned()),
            timestamp_us,
            received_at_us: timestamp_us,
            cpu,
            memory_used: 1,
            memory_total: 4,
            disk_used: 0,
            disk_total: 0,
        }
    }

    #[test]
    fn each_host_counts_once_with_its_newest_sample() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.utilization(&Scope::default(), 0), None);
        hosts.add("one", "shop", sample(10, 0.5));
        hosts.add("one", "shop", sample(5, 0.9));
        hosts.add("one", "search", sample(20, 0.7));
        hosts.add("two", "shop", Sample { memory_total: 12, ..sample(15, 0.1) });
        let all = hosts.utilization(&Scope::default(), 30).expect("two hosts");
        assert!((all.cpu - 0.4).abs() < 1e-9, "{all:?}");
        assert_eq!((all.memory, all.disk, all.received_at_us), (Some(0.125), None, 20));
        let shop = Scope { service: Some("shop".into()), environment: None };
        let shop = hosts.utilization(&shop, 30).expect("two hosts");
        assert!((shop.cpu - 0.3).abs() < 1e-9, "{shop:?}");
        let test = Scope { service: None, environment: Some("test".into()) };
        assert_eq!(hosts.utilization(&test, 30), None);
        assert_eq!(hosts.utilization(&Scope::default(), 30 + SAMPLE_AGE_MAX_US), None);
    }

    #[test]
    fn hosts_are_bounded_and_those_that_are_left_out_counted() {
        let mut hosts = Hosts::default();
        for host in 0..HOSTS_MAX + 3 {
            hosts.add(&host.to_string(), "shop", sample(1, 0.5));
        }
        assert_eq!((hosts.newest.len(), hosts.unknown), (HOSTS_MAX, 3));
        hosts.forget(2 + SAMPLE_AGE_MAX_US);
        assert!(hosts.is_empty());
    }
}
