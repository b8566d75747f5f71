//! Values of dimensions as codes, and tuples of values as one code.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ridealong_model::metrics::DIMENSIONS_MAX;

/// What a dimension's column holds in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Arc<str>),
}

/// Codes of the values of one dimension, counted from 0 as they come.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    values: Vec<Value>,
    texts: HashMap<Arc<str>, u32, RandomState>,
    others: HashMap<Value, u32, RandomState>,
}

impl Dictionary {
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    pub fn code_of_text(&mut self, text: &str) -> u32 {
        if let Some(code) = self.texts.get(text) {
            return *code;
        }
        let (code, text): (_, Arc<str>) = (self.values.len() as u32, text.into());
        self.values.push(Value::Text(Arc::clone(&text)));
        self.texts.insert(text, code);
        code
    }

    pub fn code_of(&mut self, value: &Value) -> u32 {
        if let Value::Text(text) = value {
            return self.code_of_text(text);
        }
        if let Some(code) = self.others.get(value) {
            return *code;
        }
        let code = self.values.len() as u32;
        self.values.push(value.clone());
        self.others.insert(value.clone(), code);
        code
    }

    pub fn bytes(&self) -> usize {
        let texts = self.texts.keys().map(|text| text.len()).sum::<usize>();
        texts + self.values.len() * (2 * size_of::<Value>() + 48)
    }
}

/// Codes of one value of each dimension; those after the last dimension are 0.
pub type Codes = [u32; DIMENSIONS_MAX];

/// Tuples of values, counted from 0 as they come.
#[derive(Clone, Debug)]
pub struct Tuples {
    dictionaries: Vec<Dictionary>,
    codes: Vec<Codes>,
    index: HashMap<Codes, u32, RandomState>,
}

impl Tuples {
    pub fn of(dimensions: usize) -> Self {
        assert!(dimensions <= DIMENSIONS_MAX, "a family has no more dimensions than a question may");
        Self { dictionaries: vec![Dictionary::default(); dimensions], codes: Vec::new(), index: HashMap::default() }
    }

    pub fn len(&self) -> usize {
        self.codes.len()
    }

    pub fn dictionaries(&self) -> &[Dictionary] {
        &self.dictionaries
    }

    pub fn dictionary(&mut self, at: usize) -> &mut Dictionary {
        &mut self.dictionaries[at]
    }

    pub fn codes(&self, tuple: u32) -> &Codes {
        &self.codes[tuple as usize]
    }

    /// The tuple of these codes.
    pub fn tuple(&mut self, codes: Codes) -> u32 {
        let next = self.codes.len() as u32;
        let tuple = *self.index.entry(codes).or_insert(next);
        if tuple == next {
            self.codes.push(codes);
        }
        tuple
    }

    /// The tuple of the same values as one of others, whose dimensions lie at these places there.
    pub fn taken_over(&mut self, others: &Tuples, tuple: u32, places: &[usize]) -> u32 {
        let mut codes = Codes::default();
        for (at, place) in places.iter().enumerate() {
            codes[at] = self.dictionaries[at].code_of(others.value(tuple, *place));
        }
        self.tuple(codes)
    }

    pub fn value(&self, tuple: u32, at: usize) -> &Value {
        &self.dictionaries[at].values[self.codes[tuple as usize][at] as usize]
    }

    pub fn bytes(&self) -> usize {
        let each = 2 * size_of::<Codes>() + 16;
        self.dictionaries.iter().map(Dictionary::bytes).sum::<usize>() + self.codes.len() * each
    }
}
