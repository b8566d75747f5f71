//! Latencies of one cell: the bins of the latency sketch (`ridealong_common::sketch`), in a form that merges quickly.

use ridealong_common::sketch::value_of_code;

/// Above this, bins lie side by side and are found by their place.
const SPARSE_MAX: usize = 48;

/// Counts by code, and the largest value. Counts are in units of a row's weight, see `kernel`.
#[derive(Clone, Debug, Default)]
pub struct Bins {
    form: Form,
    /// µs.
    pub max: u64,
}

#[derive(Clone, Debug)]
enum Form {
    /// Ascending by code, each once.
    Sparse(Vec<(u16, u64)>),
    /// From a first code on.
    Dense(u16, Vec<u64>),
}

impl Default for Form {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl Bins {
    pub fn add(&mut self, code: u16, count: u64) {
        match &mut self.form {
            Form::Sparse(bins) => match bins.binary_search_by_key(&code, |(code, _)| *code) {
                Ok(at) => bins[at].1 = bins[at].1.saturating_add(count),
                Err(at) if bins.len() < SPARSE_MAX => bins.insert(at, (code, count)),
                Err(_) => {
                    self.spread();
                    self.add(code, count);
                }
            },
            Form::Dense(first, counts) => {
                if code < *first {
                    let missing = usize::from(*first - code);
                    counts.splice(0..0, std::iter::repeat_n(0, missing));
                    *first = code;
                }
                let at = usize::from(code - *first);
                if at >= counts.len() {
                    counts.resize(at + 1, 0);
                }
                counts[at] = counts[at].saturating_add(count);
            }
        }
    }

    pub fn merge(&mut self, other: &Bins) {
        other.each(|code, count| self.add(code, count));
        self.max = self.max.max(other.max);
    }

    /// Those with a count, ascending by code.
    pub fn each(&self, mut see: impl FnMut(u16, u64)) {
        match &self.form {
            Form::Sparse(bins) => bins.iter().for_each(|(code, count)| see(*code, *count)),
            Form::Dense(first, counts) => {
                let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                counted.for_each(|(at, count)| see(*first + at as u16, *count));
            }
        }
    }

    /// The value of rank `q · (n − 1)`, as the sketch defines it, when `unit` is the count of one value.
    pub fn quantile(&self, q: f64, unit: u64) -> Option<f64> {
        let mut total = 0u64;
        self.each(|_, count| total = total.saturating_add(count));
        if total == 0 {
            return None;
        }
        let rank = q * (total as f64 - unit as f64).max(0.0);
        let (mut seen, mut found) = (0u64, None);
        self.each(|code, count| {
            seen = seen.saturating_add(count);
            if found.is_none() && seen as f64 > rank {
                found = Some(code);
            }
        });
        // A bin's middle may lie above the largest value in it.
        found.map(|code| value_of_code(code).min(self.max as f64))
    }

    /// On the heap.
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::Sparse(bins) => bins.capacity() * size_of::<(u16, u64)>(),
            Form::Dense(_, counts) => counts.capacity() * size_of::<u64>(),
        }
    }

    fn spread(&mut self) {
        let Form::Sparse(bins) = &self.form else { return };
        let (Some((first, _)), Some((last, _))) = (bins.first(), bins.last()) else { return };
        let (first, mut counts) = (*first, vec![0; usize::from(last - first) + 1]);
        bins.iter().for_each(|(code, count)| counts[usize::from(code - first)] = *count);
        self.form = Form::Dense(first, counts);
    }
}

#[cfg(test)]
mod tests;
