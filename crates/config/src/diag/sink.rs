//! Collects findings while a text is read; places are worked out at the end, when every secret of
//! the text is known. Not for messages to the user outside a text.

use std::ops::Range;

use super::{Diagnostic, Diagnostics, Related, Severity, Source};

/// Most findings kept of one text (I16).
const MAX_FINDINGS: usize = 200;

/// Bytes of a text.
pub(crate) type Span = Range<usize>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// Bytes of the text being read.
    Span(Span),
    /// A flag or a variable.
    Named(String),
}

/// A value with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it came from.
    pub(crate) site: Site,
}

impl<T> Located<T> {
    /// Another value from the same place.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: f(self.value),
            site: self.site,
        }
    }
}

/// A finding whose place is not worked out yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    severity: Severity,
    site: Option<Site>,
    key: Option<String>,
    message: String,
    help: Option<String>,
    related: Vec<(String, Span)>,
}

impl Finding {
    fn new(severity: Severity, site: &Site, message: impl Into<String>) -> Self {
        Self {
            severity,
            site: Some(site.clone()),
            key: None,
            message: message.into(),
            help: None,
            related: Vec::new(),
        }
    }

    /// The text is refused.
    pub(crate) fn error(site: &Site, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, site, message)
    }

    /// The text is refused, for something that is nowhere in particular.
    pub(crate) fn error_anywhere(message: impl Into<String>) -> Self {
        let mut finding = Self::error(&Site::Span(0..0), message);
        finding.site = None;
        finding
    }

    /// Accepted, without effect.
    pub(crate) fn warning(site: &Site, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, site, message)
    }

    /// Accepted.
    pub(crate) fn note(site: &Site, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, site, message)
    }

    /// The key it is about.
    pub(crate) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Another place it speaks of.
    pub(crate) fn also(mut self, site: &Site, message: impl Into<String>) -> Self {
        if let Site::Span(span) = site {
            self.related.push((message.into(), span.clone()));
        }
        self
    }
}

/// The findings of one text so far.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    findings: Vec<Finding>,
    secrets: Vec<Span>,
    omitted: u32,
}

impl Sink {
    /// Adds a finding, once.
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.is_full() {
            self.omitted = self.omitted.saturating_add(1);
        } else if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Whether further findings would only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    /// Never show these bytes.
    pub(crate) fn hide(&mut self, site: &Site) {
        if let Site::Span(span) = site
            && self.secrets.len() < MAX_FINDINGS * 16
        {
            self.secrets.push(span.clone());
        }
    }

    /// Whether anything found so far refuses the text.
    pub(crate) fn has_errors(&self) -> bool {
        self.omitted > 0 || self.findings.iter().any(|f| f.severity == Severity::Error)
    }

    /// The findings in the order of the text; those without a place come first.
    pub(crate) fn finish(self, source: Option<&Source<'_>>) -> Diagnostics {
        let Self {
            mut findings,
            secrets,
            omitted,
        } = self;
        findings.sort_by_key(|f| match &f.site {
            Some(Site::Span(span)) => (1, span.start),
            Some(Site::Named(_)) | None => (0, 0),
        });
        let place = |span: &Span| source.map(|s| s.place(span, &secrets));
        let items = findings
            .into_iter()
            .map(|finding| {
                let (named, place_of) = match &finding.site {
                    Some(Site::Span(span)) => (None, place(span)),
                    Some(Site::Named(name)) => (Some(name.clone()), None),
                    None => (None, None),
                };
                let related = finding.related.into_iter().filter_map(|(message, span)| {
                    place(&span).map(|place| Related { message, place })
                });
                Diagnostic {
                    severity: finding.severity,
                    key: named.or(finding.key),
                    message: finding.message,
                    place: place_of,
                    related: related.collect(),
                    help: finding.help,
                }
            })
            .collect();
        Diagnostics { items, omitted }
    }
}
