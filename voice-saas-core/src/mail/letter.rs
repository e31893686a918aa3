//! A letter: one set of words, as plain text and as HTML.

use std::fmt;

use askama::Template;
use url::Url;

use super::EmailAddress;

/// Longer subjects are cut.
const LONGEST_SUBJECT: usize = 150;

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Letterhead {
    /// What customers call the service.
    pub product: String,
    /// Where they may ask; it is named at the foot of every letter.
    pub support: Option<EmailAddress>,
}

impl Letterhead {
    /// Letters of this product.
    pub fn new(product: impl Into<String>) -> Self {
        Self {
            product: product.into(),
            support: None,
        }
    }

    /// Names this address at the foot of every letter.
    #[must_use]
    pub fn with_support(mut self, support: EmailAddress) -> Self {
        self.support = Some(support);
        self
    }
}

/// The words of a mail. It prints as the name of its template alone: its links may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    template: &'static str,
    subject: String,
    text: String,
    html: String,
}

impl Letter {
    /// Words of your own. `template` is a word for logs and for operators, such as `newsletter`.
    pub fn new(
        template: &'static str,
        subject: impl AsRef<str>,
        text: impl Into<String>,
        html: impl Into<String>,
    ) -> Self {
        Self {
            template,
            subject: one_line(subject.as_ref()),
            text: text.into(),
            html: html.into(),
        }
    }

    /// The name of its template.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// Its subject, on one line.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its words as plain text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same as HTML.
    pub fn html(&self) -> &str {
        &self.html
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

/// What both forms of a letter are made of.
pub(super) struct Draft<'a> {
    subject: String,
    greeting: String,
    paragraphs: Vec<String>,
    rows: Vec<(String, String)>,
    action: Option<(&'static str, &'a Url)>,
    closing: Vec<String>,
    product: &'a str,
    support: Option<&'a str>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(head: &'a Letterhead, subject: impl AsRef<str>) -> Self {
        Self {
            subject: one_line(subject.as_ref()),
            greeting: "Hello,".to_owned(),
            paragraphs: Vec::new(),
            rows: Vec::new(),
            action: None,
            closing: Vec::new(),
            product: &head.product,
            support: head.support.as_ref().map(EmailAddress::as_str),
        }
    }

    /// To this person; nobody's name when it is empty.
    pub(super) fn to(mut self, name: &str) -> Self {
        if !name.trim().is_empty() {
            self.greeting = format!("Hello {},", one_line(name));
        }
        self
    }

    pub(super) fn say(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }

    pub(super) fn row(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.rows.push((name.into(), value.into()));
        self
    }

    /// A link with what it does.
    pub(super) fn action(mut self, label: &'static str, link: &'a Url) -> Self {
        self.action = Some((label, link));
        self
    }

    /// Said after the link.
    pub(super) fn close(mut self, paragraph: impl Into<String>) -> Self {
        self.closing.push(paragraph.into());
        self
    }

    pub(super) fn finish(self, template: &'static str) -> Letter {
        let written = "a letter is written into memory, where nothing fails";
        Letter {
            template,
            text: Text { letter: &self }.render().expect(written),
            html: Html { letter: &self }.render().expect(written),
            subject: self.subject,
        }
    }
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a> {
    letter: &'a Draft<'a>,
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    letter: &'a Draft<'a>,
}

/// Without line breaks and other control characters, which would be headers of their own in a subject.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(LONGEST_SUBJECT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_of_bounded_length() {
        let subject = format!("Hello\r\nBcc: all@example.com\t{}", "x".repeat(500));
        let letter = Letter::new("test", subject, "", "");
        assert!(letter.subject().starts_with("Hello Bcc: all@example.com xxx"));
        assert_eq!(letter.subject().chars().count(), LONGEST_SUBJECT);
    }

    #[test]
    fn what_customers_write_is_text_in_html_too() {
        let head = Letterhead::new("<b>Acme</b>");
        let letter = Draft::new(&head, "s")
            .to("<script>alert(1)</script>")
            .say("a < b & \"c\"")
            .row("<td>", "'1'")
            .finish("test");
        for forbidden in ["<script>", "<b>", "a < b", "<td></td>"] {
            assert!(!letter.html().contains(forbidden), "{}", letter.html());
        }
        assert!(letter.text().contains("a < b & \"c\""), "{}", letter.text());
    }

    #[test]
    fn both_forms_say_the_same() {
        let link: Url = "https://example.com/reset?token=t&x=1".parse().unwrap();
        let head = Letterhead::new("Acme").with_support(EmailAddress::parse("help@example.com").unwrap());
        let letter = Draft::new(&head, "Subject")
            .to("Jane")
            .say("First.")
            .row("Total", "9.99 EUR")
            .action("Open", &link)
            .close("Last.")
            .finish("test");
        assert_eq!(
            letter.text(),
            "Hello Jane,\n\nFirst.\n\nTotal: 9.99 EUR\n\nOpen:\nhttps://example.com/reset?token=t&x=1\n\nLast.\n\n-- \n\
             Acme\nQuestions? Write to help@example.com."
        );
        for words in [
            "Hello Jane,",
            "First.",
            "9.99 EUR",
            "token=t&#38;x=1",
            "Last.",
            "help@example.com",
        ] {
            assert!(letter.html().contains(words), "{words} in {}", letter.html());
        }
    }

    #[test]
    fn a_letter_does_not_print_its_links() {
        let letter = Letter::new("reset_password", "s", "https://x/?token=hunter2", "hunter2");
        let printed = format!("{letter:?}");
        assert!(printed.contains("reset_password") && !printed.contains("hunter2"));
    }
}
