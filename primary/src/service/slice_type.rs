//! Telling a slice's type from a file. A wrong guess would be published, so in doubt there is none.

/// What a word of a file's name stands for. XML files only, but for the last, which has formats of its own.
const WORDS: [(&str, &str, bool); 3] =
    [("aces", "aces-file", true), ("pies", "pies-file", true), ("partspro", "partspro-file", false)];
/// Words that tell of the finer types, which are not published as whole files.
const FINER: [&str; 4] = ["asset", "items", "marketcopy", "pricesheet"];

/// The type that a file's name says: one of the words `aces`, `pies` (with the ending `.xml`) and `partspro`, by itself
/// between other characters than letters. `None` when there is none, or more than one.
pub fn of_name(file_name: &str) -> Option<&'static str> {
    let name = file_name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphabetic()).collect();
    if FINER.iter().any(|finer| words.contains(finer)) {
        return None;
    }
    let is_xml = std::path::Path::new(&name).extension().is_some_and(|ending| ending == "xml");
    let mut found = WORDS.iter().filter(|(word, ..)| words.contains(word));
    match (found.next(), found.next()) {
        (Some((_word, slice_type, needs_xml)), None) if is_xml || !needs_xml => Some(*slice_type),
        _ => None,
    }
}

/// So many bytes are looked at.
pub const BEGINNING: u64 = 4_096;

/// The type that the root element of an XML file says, as far as its beginning shows it.
pub fn of_content(beginning: &[u8]) -> Option<&'static str> {
    let beginning = String::from_utf8_lossy(beginning);
    let mut rest: &str = &beginning;
    loop {
        let (_before, after) = rest.split_once('<')?;
        let end = match after {
            comment if comment.starts_with("!--") => "-->",
            other if other.starts_with(['?', '!']) => ">",
            root => {
                let name = root.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()?;
                return match name.rsplit(':').next()? {
                    "ACES" => Some("aces-file"),
                    "PIES" => Some("pies-file"),
                    _ => None,
                };
            }
        };
        (_, rest) = after.split_once(end)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{of_content, of_name};

    #[test]
    fn a_name_says_a_type_by_whole_words_only() {
        for (name, says) in [
            ("aces.xml", Some("aces-file")),
            ("Better_Brakes_ACES42_2026-11.XML", Some("aces-file")),
            ("PIES 7.2 full.xml", Some("pies-file")),
            ("brakes.partspro.txt", Some("partspro-file")),
            ("spacesaver.xml", None),
            ("places.xml", None),
            ("hippies.xml", None),
            ("aces.zip", None),
            ("aces-and-pies.xml", None),
            ("pies-marketcopy.xml", None),
            ("pies-items.xml", None),
            ("brake-pads.xml", None),
            (".xml", None),
            ("", None),
        ] {
            assert_eq!(of_name(name), says, "{name}");
        }
    }

    #[test]
    fn the_root_element_says_a_type() {
        for (text, says) in [
            ("<ACES version=\"4.2\">", Some("aces-file")),
            ("\u{feff}<?xml version=\"1.0\"?>\n<!-- <PIES> -->\n<ns:PIES>", Some("pies-file")),
            ("<!DOCTYPE x>\r\n<PIES/>", Some("pies-file")),
            ("<html><ACES>", None),
            ("ACES", None),
            ("<!-- never ends", None),
            ("<", None),
            ("", None),
        ] {
            assert_eq!(of_content(text.as_bytes()), says, "{text}");
        }
    }
}
