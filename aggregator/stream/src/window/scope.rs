//! Which service and environment numbers are of.

/// What is not named is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    pub service: Option<Box<str>>,
    pub environment: Option<Box<str>>,
}

impl Scope {
    pub fn is_all(&self) -> bool {
        self.service.is_none() && self.environment.is_none()
    }

    pub(crate) fn holds(&self, service: Option<&str>, environment: Option<&str>) -> bool {
        let same = |wanted: &Option<Box<str>>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        same(&self.service, service) && same(&self.environment, environment)
    }
}
