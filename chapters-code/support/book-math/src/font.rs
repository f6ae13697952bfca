//! The fonts of the book, with only the glyphs that the pages show.
//!
//! Text is set in Libertinus Serif (SIL Open Font License) and formulas in New Computer Modern Math
//! (GUST font licence); the crate `typst-assets` contains both. The crate `skera` chooses the
//! glyphs and writes all tables but two: the outlines, which `subsetter` writes, and the `MATH`
//! table, which browsers use to set formulas.

use std::collections::BTreeSet;

use anyhow::Context;
use skera::{subset_font, Plan, SubsetFlags};
use subsetter::GlyphRemapper;
use ttf2woff2::BrotliQuality;
use ttf_parser::{name_id, Face};
use write_fonts::read::collections::IntSet;
use write_fonts::read::FontRef;
use write_fonts::types::{GlyphId, NameId, Tag};
use write_fonts::FontBuilder;

use crate::math_table;

/// The font of the formulas, by its PostScript name.
const MATH: &str = "NewCMMath-Regular";
/// The fonts of the text, each with its name and the name of its file.
pub const TEXT: [(&str, &str); 3] = [
    ("LibertinusSerif-Regular", "text.woff2"),
    ("LibertinusSerif-Italic", "text-italic.woff2"),
    ("LibertinusSerif-Semibold", "text-bold.woff2"),
];
/// The characters into which mdBook turns typed quotes, hyphens and dots.
const TYPOGRAPHIC: [char; 7] = ['‘', '’', '“', '”', '–', '—', '…'];
/// What browsers do with letters without being asked: compose, join, kern, and place accents.
const TEXT_FEATURES: [&[u8; 4]; 7] =
    [b"ccmp", b"clig", b"kern", b"liga", b"mark", b"mkmk", b"rlig"];
/// What browsers do in formulas: use dotless letters under accents. (Some browsers would also use
/// heavier letters for subscripts, `ssty`, which would double the size of the font.)
const MATH_FEATURES: [&[u8; 4]; 1] = [b"dtls"];

/// The font of the formulas as WOFF2, for these characters.
///
/// # Errors
/// If the font does not have the expected form, which would mean that another version of
/// `typst-assets` came with another font.
pub fn math_font(characters: &BTreeSet<char>) -> anyhow::Result<Vec<u8>> {
    compressed(MATH, characters, &MATH_FEATURES)
}

/// One of the fonts of the text as WOFF2, with only these characters.
///
/// # Errors
/// As [`math_font`].
pub fn text_font(name: &str, characters: &BTreeSet<char>) -> anyhow::Result<Vec<u8>> {
    compressed(name, characters, &TEXT_FEATURES)
}

fn compressed(
    name: &str,
    characters: &BTreeSet<char>,
    features: &[&[u8; 4]],
) -> anyhow::Result<Vec<u8>> {
    let whole = whole_font(name)?;
    let plan = plan(whole, characters, features)?;
    let font = subset(whole, &plan).with_context(|| name.to_string())?;
    Ok(ttf2woff2::encode(&font, BrotliQuality::from(11))?)
}

fn whole_font(name: &str) -> anyhow::Result<&'static [u8]> {
    let is_named = |font: &&[u8]| {
        let Ok(face) = Face::parse(font, 0) else { return false };
        let mut names = face.names().into_iter();
        names.any(|n| {
            n.name_id == name_id::POST_SCRIPT_NAME && n.to_string().as_deref() == Some(name)
        })
    };
    typst_assets::fonts().find(is_named).with_context(|| format!("typst-assets has no {name}"))
}

/// The font with the glyphs of a plan.
fn subset(whole: &[u8], plan: &Plan) -> anyhow::Result<Vec<u8>> {
    let glyphs = kept(plan);
    let tables = subset_font(&FontRef::new(whole)?, plan)?;
    let outlines =
        subsetter::subset(whole, 0, &GlyphRemapper::new_from_glyphs_sorted(&glyphs[1..]))?;
    let [cff, math] = [b"CFF ", b"MATH"].map(Tag::new);
    let mut font = FontBuilder::new();
    font.add_raw(cff, FontRef::new(&outlines)?.table_data(cff).context("outlines")?.as_bytes());
    if let Some(table) = FontRef::new(whole)?.table_data(math) {
        font.add_raw(math, math_table::subset(table.as_bytes(), &glyphs)?);
    }
    font.copy_missing_tables(FontRef::new(&tables)?);
    Ok(font.build())
}

/// A plan for the glyphs that these characters need with these features.
fn plan(whole: &[u8], characters: &BTreeSet<char>, features: &[&[u8; 4]]) -> anyhow::Result<Plan> {
    let font = FontRef::new(whole)?;
    let names = [NameId::COPYRIGHT_NOTICE, NameId::FAMILY_NAME, NameId::LICENSE_DESCRIPTION];
    let with = |more: BTreeSet<u16>| {
        Plan::new(
            &more.into_iter().map(GlyphId::from).collect(),
            &characters.iter().map(|&c| u32::from(c)).collect(),
            &font,
            SubsetFlags::SUBSET_FLAGS_DEFAULT,
            &IntSet::empty(),
            &IntSet::all(),
            &features.iter().map(|&tag| Tag::new(tag)).collect(),
            &names.into_iter().collect(),
            &[0x409].into_iter().collect(),
        )
    };
    let plan = with(BTreeSet::new());
    Ok(match Face::parse(whole, 0)?.tables().math {
        Some(math) => with(math_table::sizes_and_parts(&math, &kept(&plan))),
        None => plan,
    })
}

/// The glyphs of a plan, by their old IDs, in the order of their new ones.
fn kept(plan: &Plan) -> Vec<u16> {
    let mut pairs: Vec<_> = plan.old_to_new_glyph_mapping().collect();
    pairs.sort_by_key(|&(_, new)| new);
    pairs.into_iter().map(|(old, _)| old.to_u32() as u16).collect()
}

/// The characters of some pages, and those that mdBook may add to them.
pub fn text_characters<'a>(pages: impl Iterator<Item = &'a str>) -> BTreeSet<char> {
    pages.flat_map(str::chars).chain(' '..='~').chain(TYPOGRAPHIC).collect()
}

/// The characters of all formulas on a page of MathML, and those that MathML writes differently:
/// the root sign is an element, and the less-than sign is an entity. Browsers set one-letter
/// variables in italics, and the italic letters are characters in their own right.
pub fn characters(page: &str) -> BTreeSet<char> {
    let formulas = page.split("<math").skip(1).filter_map(|rest| rest.split("</math>").next());
    let texts = formulas.flat_map(|math| math.split('>').skip(1));
    let shown = texts.flat_map(|text| text.split('<').next().unwrap_or_default().chars());
    let written_otherwise = ['√', '<', '>', '&'];
    shown.flat_map(|c| [Some(c), italic(c)]).flatten().chain(written_otherwise).collect()
}

/// The mathematical italic of a letter, if it has one (MathML Core, appendix C).
fn italic(letter: char) -> Option<char> {
    let (first, italics) = match letter {
        'h' => return Some('ℎ'),
        '∂' => return Some('𝜕'),
        '∇' => return Some('𝛻'),
        'ϵ' => return Some('𝜖'),
        'ϑ' => return Some('𝜗'),
        'ϰ' => return Some('𝜘'),
        'ϕ' => return Some('𝜙'),
        'ϱ' => return Some('𝜚'),
        'ϖ' => return Some('𝜛'),
        'ı' => return Some('𝚤'),
        'ȷ' => return Some('𝚥'),
        'a'..='z' => ('a', '𝑎'),
        'A'..='Z' => ('A', '𝐴'),
        'α'..='ω' => ('α', '𝛼'),
        'Α'..='Ω' => ('Α', '𝛢'),
        _ => return None,
    };
    char::from_u32(italics as u32 + letter as u32 - first as u32)
}

#[cfg(test)]
mod tests {
    use harfrust::{shape, Buffer, ShapeOptions, ShaperFont};
    use ttf_parser::{GlyphId, OutlineBuilder};

    use super::*;

    /// The outline of a glyph as text.
    #[derive(Default, PartialEq, Debug)]
    struct Path(String);

    impl OutlineBuilder for Path {
        fn move_to(&mut self, x: f32, y: f32) {
            self.0 += &format!("M{x} {y}");
        }
        fn line_to(&mut self, x: f32, y: f32) {
            self.0 += &format!("L{x} {y}");
        }
        fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
            self.0 += &format!("Q{x1} {y1} {x} {y}");
        }
        fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
            self.0 += &format!("C{x1} {y1} {x2} {y2} {x} {y}");
        }
        fn close(&mut self) {
            self.0 += "Z";
        }
    }

    fn outline(face: &Face, glyph: u16) -> Path {
        let mut path = Path::default();
        face.outline_glyph(GlyphId(glyph), &mut path);
        path
    }

    /// A font with only a few glyphs, and their IDs in the whole font.
    fn small(
        name: &str,
        characters: &BTreeSet<char>,
        features: &[&[u8; 4]],
    ) -> (Vec<u8>, Vec<u16>) {
        let whole = whole_font(name).unwrap();
        let plan = plan(whole, characters, features).unwrap();
        (subset(whole, &plan).unwrap(), kept(&plan))
    }

    fn assert_looks_as_before(font: &[u8], glyphs: &[u16], name: &str) {
        let [small, whole] = [font, whole_font(name).unwrap()].map(|f| Face::parse(f, 0).unwrap());
        assert_eq!(small.number_of_glyphs() as usize, glyphs.len());
        for (new, &old) in (0..).zip(glyphs) {
            assert_eq!(outline(&small, new), outline(&whole, old), "{name}, {old}");
            let advance = |face: &Face, id| face.glyph_hor_advance(GlyphId(id));
            assert_eq!(advance(&small, new), advance(&whole, old), "{name}, {old}");
        }
    }

    #[test]
    fn quotes_and_dashes_that_nobody_typed_are_kept() {
        let characters = text_characters(["It's \"so\"."].into_iter());
        for (name, _) in TEXT {
            let (font, _) = small(name, &characters, &TEXT_FEATURES);
            let face = Face::parse(&font, 0).unwrap();
            for c in "’“”–—…Z".chars() {
                assert!(face.glyph_index(c).is_some(), "{name}: {c}");
            }
            assert!(face.glyph_index('é').is_none());
        }
    }

    /// The glyphs that a browser uses to set `text`, and the place of each.
    fn set(font: &[u8], text: &str) -> Vec<(u16, [i32; 3])> {
        let font = harfrust::Font::new(font.to_vec(), 0).unwrap();
        let mut set = Buffer::new();
        set.push_str(text);
        set.guess_segment_properties();
        shape(&ShaperFont::new(&font), &mut set, ShapeOptions::default()).unwrap();
        let glyphs = set.glyph_infos().iter().map(|glyph| glyph.glyph_id as u16);
        let places =
            set.glyph_positions().iter().map(|at| [at.x_advance, at.x_offset, at.y_offset]);
        glyphs.zip(places).collect()
    }

    #[test]
    fn text_looks_as_before() {
        for (name, _) in TEXT {
            let characters = text_characters(["é\u{301}"].into_iter());
            let (font, glyphs) = small(name, &characters, &TEXT_FEATURES);
            assert_looks_as_before(&font, &glyphs, name);
            let text = "AVATAR. To find é, e\u{301}; fluffy “waffles” – Type…";
            let (after, before) = (set(&font, text), set(whole_font(name).unwrap(), text));
            let after: Vec<_> =
                after.into_iter().map(|(glyph, place)| (glyphs[glyph as usize], place)).collect();
            assert_eq!(after, before, "{name}");
            // An accent is composed with its letter, and "fi", "fl", "ff" are joined.
            assert!(after.len() < text.chars().count() - 3, "{name}");
            let kerned = |text: &str| set(&font, text)[0].1[0];
            assert!(kerned("AV") < kerned("AH"), "{name}");
        }
    }

    #[test]
    fn formulas_look_as_before() {
        let page = "<p>q</p><math><msqrt><mi>x</mi></msqrt><mo>=</mo><mi>θ</mi><mo>(</mo></math>";
        let shown = characters(page);
        assert_eq!(shown, "x𝑥=θ𝜃(√<>&".chars().collect());
        let (font, glyphs) = small(MATH, &shown, &MATH_FEATURES);
        // The bracket comes in several sizes.
        assert!(glyphs.len() > shown.len() + 8, "{glyphs:?}");
        assert_looks_as_before(&font, &glyphs, MATH);
    }

    #[test]
    fn the_italics_are_where_unicode_has_them() {
        // In Unicode order, with the capital theta symbol and the symbols that follow omega.
        let greek = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ\u{3a2}ΣΤΥΦΧΨΩ∇αβγδεζηθικλμνξοπρςστυφχψω∂ϵϑϰϕϱϖ";
        for (letter, number) in greek.chars().zip(0x1d6e2..) {
            if letter != '\u{3a2}' {
                assert_eq!(italic(letter).map(u32::from), Some(number), "{letter}");
            }
        }
    }

    /// What browsers read from the `MATH` table, with glyphs numbered as in the whole font.
    fn formulas(font: &[u8], old: impl Fn(GlyphId) -> u16, glyphs: &[u16]) -> Vec<String> {
        let math = Face::parse(font, 0).unwrap().tables().math.unwrap();
        let (info, variants) = (math.glyph_info.unwrap(), math.variants.unwrap());
        let constants = math.constants.unwrap();
        let mut all = vec![format!(
            "{} {} {} {}",
            constants.axis_height().value,
            constants.fraction_rule_thickness().value,
            constants.radical_kern_after_degree().value,
            constants.radical_degree_bottom_raise_percent(),
        )];
        for &glyph in glyphs {
            let id = GlyphId(glyph);
            let values = [info.italic_corrections, info.top_accent_attachments];
            all.extend(values.map(|table| format!("{:?}", table.unwrap().get(id))));
            for table in [variants.vertical_constructions, variants.horizontal_constructions] {
                let Some(made) = table.get(id) else { continue };
                for larger in made.variants {
                    all.push(format!(
                        "{} {}",
                        old(larger.variant_glyph),
                        larger.advance_measurement
                    ));
                }
                for part in made.assembly.into_iter().flat_map(|assembly| assembly.parts) {
                    let numbers =
                        [part.start_connector_length, part.end_connector_length, part.full_advance];
                    let extends = part.part_flags.extender();
                    all.push(format!("{} {numbers:?} {extends}", old(part.glyph_id)));
                }
            }
        }
        all
    }

    #[test]
    fn formulas_are_set_as_before() {
        let shown: BTreeSet<char> = ['(', '{', '√', '=', '∑', '̂', '¯', '𝑓'].into();
        let (font, glyphs) = small(MATH, &shown, &MATH_FEATURES);
        let whole = whole_font(MATH).unwrap();
        let face = Face::parse(whole, 0).unwrap();
        let olds: Vec<u16> = shown.iter().map(|&c| face.glyph_index(c).unwrap().0).collect();
        let news: Vec<u16> =
            olds.iter().map(|old| glyphs.binary_search(old).unwrap() as u16).collect();
        let after = formulas(&font, |glyph| glyphs[glyph.0 as usize], &news);
        assert_eq!(after, formulas(whole, |glyph| glyph.0, &olds));
        assert!(after.len() > 50, "{after:#?}");
    }

    #[test]
    fn a_font_for_a_book_is_small() {
        let letters: BTreeSet<char> = ('!'..='~').chain('α'..='ω').collect();
        let italics = letters.iter().filter_map(|&letter| italic(letter));
        let font = math_font(&letters.iter().copied().chain(italics).collect()).unwrap();
        assert!(font.starts_with(b"wOF2"));
        assert!(font.len() < 75_000, "{} bytes", font.len());
        for (name, _) in TEXT {
            let font = text_font(name, &letters).unwrap();
            assert!(font.len() < 20_000, "{name}: {} bytes", font.len());
        }
    }
}
