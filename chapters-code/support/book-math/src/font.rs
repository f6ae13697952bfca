//! The fonts of the book, with the outlines of only those glyphs that the pages show.
//!
//! Text is set in Libertinus Serif (SIL Open Font License) and formulas in New Computer Modern Math
//! (GUST font licence); the crate `typst-assets` contains both. Browsers set formulas with the
//! `MATH` table and kern text with the `GPOS` table; both refer to glyphs by their IDs, so all
//! glyphs keep their IDs, and all tables stay. Only outlines go, and with them the subroutines that
//! nothing calls any more; the rest is packed, and the freed space becomes zeros, which WOFF2
//! compresses to almost nothing.
//!
//! Outlines are in the `CFF` table (Adobe Technical Notes 5176 and 5177).

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Context;
use ttf2woff2::BrotliQuality;
use ttf_parser::gsub::{Ligature, LigatureSubstitution, SingleSubstitution, SubstitutionSubtable};
use ttf_parser::{name_id, Face, GlyphId, Tag};

/// The font of the formulas, by its PostScript name.
const MATH: &str = "NewCMMath-Regular";
/// The fonts of the text: the name of each, and that of its file.
pub const TEXT: [(&str, &str); 3] = [
    ("LibertinusSerif-Regular", "text.woff2"),
    ("LibertinusSerif-Italic", "text-italic.woff2"),
    ("LibertinusSerif-Semibold", "text-bold.woff2"),
];
/// The characters into which mdBook turns typed quotes, hyphens and dots.
const TYPOGRAPHIC: [char; 7] = ['‘', '’', '“', '”', '–', '—', '…'];
/// A glyph without an outline.
const ENDCHAR: u8 = 14;

/// The font as WOFF2, for formulas of these characters.
///
/// # Errors
/// If the font does not have the expected form, which would mean that another version of
/// `typst-assets` came with another font.
pub fn math_font(characters: &BTreeSet<char>) -> anyhow::Result<Vec<u8>> {
    let font = whole_font(MATH)?;
    let kept = glyphs(&Face::parse(font, 0)?, characters)?;
    let font = without_outlines(font, &kept).context("the font of the formulas")?;
    Ok(ttf2woff2::encode(&font, BrotliQuality::from(11))?)
}

/// A font of the text as WOFF2, for these characters.
///
/// # Errors
/// As [`math_font`].
pub fn text_font(name: &str, characters: &BTreeSet<char>) -> anyhow::Result<Vec<u8>> {
    let font = whole_font(name)?;
    let kept = letters(&Face::parse(font, 0)?, characters)?;
    let font = without_outlines(font, &kept).with_context(|| name.to_string())?;
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

/// The glyphs of these characters, and the ligatures into which browsers join them.
fn letters(face: &Face, characters: &BTreeSet<char>) -> anyhow::Result<BTreeSet<u16>> {
    let ids = characters.iter().filter_map(|&c| face.glyph_index(c)).map(|id| id.0);
    let mut glyphs: BTreeSet<u16> = ids.chain([0]).collect();
    let gsub = face.tables().gsub.context("a GSUB table")?;
    let wanted = [b"ccmp", b"clig", b"liga", b"rlig"].map(Tag::from_bytes);
    let features = gsub.features.into_iter().filter(|feature| wanted.contains(&feature.tag));
    let lookups: Vec<u16> = features.flat_map(|feature| feature.lookup_indices).collect();
    loop {
        let before = glyphs.len();
        for &lookup in &lookups {
            let lookup = gsub.lookups.get(lookup).context("a lookup of the GSUB table")?;
            for table in lookup.subtables.into_iter::<SubstitutionSubtable>() {
                let more: Vec<u16> = match &table {
                    SubstitutionSubtable::Ligature(table) => ligatures(table, &glyphs),
                    _ => glyphs.iter().flat_map(|&g| substitutes(&table, GlyphId(g))).collect(),
                };
                glyphs.extend(more);
            }
        }
        // A ligature may be part of another.
        if glyphs.len() == before {
            return Ok(glyphs);
        }
    }
}

/// The ligatures that these glyphs form.
fn ligatures(table: &LigatureSubstitution, glyphs: &BTreeSet<u16>) -> Vec<u16> {
    let is_formed =
        |ligature: &Ligature| ligature.components.into_iter().all(|g| glyphs.contains(&g.0));
    let sets = glyphs.iter().filter_map(|&glyph| table.coverage.get(GlyphId(glyph)));
    let sets = sets.filter_map(|at| table.ligature_sets.get(at));
    sets.flat_map(|set| set.into_iter().filter(is_formed).map(|l| l.glyph.0)).collect()
}

/// The characters of some pages, and those that mdBook may add to them.
pub fn text_characters<'a>(pages: impl Iterator<Item = &'a str>) -> BTreeSet<char> {
    pages.flat_map(str::chars).chain(' '..='~').chain(TYPOGRAPHIC).collect()
}

/// The characters of all formulas on a page of MathML, and those that MathML writes differently:
/// the root sign is an element, and the less-than sign is an entity. Browsers set a one-letter
/// variable in italics, which are characters of their own.
pub fn characters(page: &str) -> BTreeSet<char> {
    let formulas = page.split("<math").skip(1).filter_map(|rest| rest.split("</math>").next());
    let texts = formulas.flat_map(|math| math.split('>').skip(1));
    let shown = texts.flat_map(|text| text.split('<').next().unwrap_or_default().chars());
    let written_otherwise = ['√', '<', '>', '&'];
    shown.flat_map(|c| [Some(c), italic(c)]).flatten().chain(written_otherwise).collect()
}

/// The mathematical italic of a letter, for all that have one (MathML Core, appendix C).
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

/// The glyphs of these characters, those that stand in for them in subscripts (`ssty`) and under
/// accents (`dtls`), and the larger glyphs and the pieces that brackets and roots are made of.
fn glyphs(face: &Face, characters: &BTreeSet<char>) -> anyhow::Result<BTreeSet<u16>> {
    let ids = characters.iter().filter_map(|&c| face.glyph_index(c)).map(|id| id.0);
    let mut glyphs: BTreeSet<u16> = ids.chain([0]).collect();
    let gsub = face.tables().gsub.context("a GSUB table")?;
    let wanted = [Tag::from_bytes(b"ssty"), Tag::from_bytes(b"dtls")];
    let features = gsub.features.into_iter().filter(|feature| wanted.contains(&feature.tag));
    for lookup in features.flat_map(|feature| feature.lookup_indices) {
        let lookup = gsub.lookups.get(lookup).context("a lookup of the GSUB table")?;
        for table in lookup.subtables.into_iter::<SubstitutionSubtable>() {
            let more: Vec<u16> =
                glyphs.iter().flat_map(|&glyph| substitutes(&table, GlyphId(glyph))).collect();
            glyphs.extend(more);
        }
    }
    let variants = face.tables().math.and_then(|math| math.variants).context("a MATH table")?;
    let directions = [variants.vertical_constructions, variants.horizontal_constructions];
    let of = |&glyph: &u16| {
        directions.into_iter().filter_map(move |table| table.get(GlyphId(glyph))).flat_map(|made| {
            let larger = made.variants.into_iter().map(|variant| variant.variant_glyph.0);
            let parts = made.assembly.into_iter().flat_map(|assembly| assembly.parts);
            larger.chain(parts.map(|part| part.glyph_id.0))
        })
    };
    let more: Vec<u16> = glyphs.iter().flat_map(of).collect();
    glyphs.extend(more);
    Ok(glyphs)
}

/// The glyphs that a table substitutes for one.
fn substitutes(table: &SubstitutionSubtable, glyph: GlyphId) -> Vec<u16> {
    let Some(at) = table.coverage().get(glyph) else { return vec![] };
    match table {
        SubstitutionSubtable::Single(SingleSubstitution::Format1 { delta, .. }) => {
            vec![glyph.0.wrapping_add_signed(*delta)]
        }
        SubstitutionSubtable::Single(SingleSubstitution::Format2 { substitutes, .. }) => {
            substitutes.get(at).into_iter().map(|id| id.0).collect()
        }
        SubstitutionSubtable::Alternate(table) => {
            let sets = table.alternate_sets.get(at).into_iter();
            sets.flat_map(|set| set.alternates).map(|id| id.0).collect()
        }
        _ => vec![],
    }
}

/// The font, with no outline and no width for the glyphs that are not kept.
fn without_outlines(font: &[u8], kept: &BTreeSet<u16>) -> anyhow::Result<Vec<u8>> {
    let face = Face::parse(font, 0)?;
    let records = face.raw_face().table_records.into_iter();
    let place = |tag: &[u8; 4]| {
        let record = records.clone().find(|record| record.tag == Tag::from_bytes(tag));
        let record = record.with_context(|| format!("a table {}", Tag::from_bytes(tag)))?;
        anyhow::Ok(record.offset as usize..(record.offset + record.length) as usize)
    };
    let (outlines, widths) = (place(b"CFF ")?, place(b"hmtx")?);
    let mut font = font.to_vec();
    empty_outlines(&mut font[outlines], kept)?;
    for (glyph, metrics) in font[widths].chunks_exact_mut(4).enumerate() {
        if !kept.contains(&(glyph as u16)) {
            metrics.fill(0);
        }
    }
    Ok(font)
}

/// Like `without_outlines`, but for the `CFF` table alone.
fn empty_outlines(cff: &mut [u8], kept: &BTreeSet<u16>) -> anyhow::Result<()> {
    let names = Index::read(cff, *cff.get(2).context("a header")? as usize)?;
    let tops = Index::read(cff, names.end)?;
    let strings = Index::read(cff, tops.end)?;
    let top = dictionary(&cff[tops.items[0].clone()])?;
    let number = |key: u16, at: usize| operand(&top, key, at);
    let (charset, outlines) = (number(15, 0)?, Index::read(cff, number(17, 0)?)?);
    let (length, private) = (number(18, 0)?, number(18, 1)?);
    let private_dictionary = cff.get(private..private + length).context("a private dictionary")?;
    let private_dictionary = dictionary(private_dictionary)?;
    // A font may have no local subroutines.
    let local = match private_dictionary.iter().any(|(operator, _)| *operator == 19) {
        true => Index::read(cff, private + operand(&private_dictionary, 19, 0)?)?,
        false => Index::NONE,
    };
    let global = Index::read(cff, strings.end)?;

    let mut tracer = Tracer { cff, local: Calls::of(&local), global: Calls::of(&global) };
    for &glyph in kept {
        let outline = outlines.items.get(glyph as usize).context("an outline")?.clone();
        tracer.trace(outline)?;
    }
    let [called_local, called_global] = [tracer.local.called, tracer.global.called];
    let glyphs = outlines.items.len();
    outlines.pack(cff, |at| kept.contains(&(at as u16)));
    local.pack(cff, |at| called_local.contains(&at));
    global.pack(cff, |at| called_global.contains(&at));
    // Nothing reads the names of the glyphs, so one range of any existing names will do.
    let names = &strings.items;
    cff[names[0].start..names[names.len() - 1].end].fill(b' ');
    let names = charset..charset + charset_length(&cff[charset..], glyphs)?;
    anyhow::ensure!(names.len() >= 5, "a list of names shorter than one range");
    cff[names.clone()].fill(0);
    let [high, low] = (glyphs as u16 - 2).to_be_bytes();
    cff[names][..5].copy_from_slice(&[2, 0, 1, high, low]);
    Ok(())
}

/// The length of the list that names all glyphs but the first (note 5176, section 13).
fn charset_length(bytes: &[u8], glyphs: usize) -> anyhow::Result<usize> {
    let width = match bytes.first() {
        Some(0) => return Ok(1 + 2 * (glyphs - 1)),
        Some(1) => 1,
        Some(2) => 2,
        _ => anyhow::bail!("a list of names"),
    };
    let (mut named, mut length) = (1, 1);
    while named < glyphs {
        let more = bytes.get(length + 2..length + 2 + width).context("a range of names")?;
        named += 1 + more.iter().fold(0, |number, &byte| number << 8 | byte as usize);
        length += 2 + width;
    }
    Ok(length)
}

/// A list of byte strings, and where its parts are in the table (note 5176, section 5).
struct Index {
    start: usize,
    offset_size: usize,
    items: Vec<Range<usize>>,
    end: usize,
}

impl Index {
    const NONE: Self = Self { start: 0, offset_size: 0, items: Vec::new(), end: 0 };

    fn read(cff: &[u8], start: usize) -> anyhow::Result<Self> {
        let bytes = cff.get(start..).context("an index")?;
        let [high, low, ..] = bytes else { anyhow::bail!("an index") };
        let count = u16::from_be_bytes([*high, *low]) as usize;
        if count == 0 {
            return Ok(Self { start, offset_size: 0, items: vec![], end: start + 2 });
        }
        let offset_size = *bytes.get(2).context("the size of an index's offsets")? as usize;
        let offsets = bytes.get(3..3 + (count + 1) * offset_size).context("offsets")?;
        let data = start + 2 + offsets.len();
        let place = |offset: &[u8]| {
            data + offset.iter().fold(0, |number, &byte| number << 8 | byte as usize)
        };
        let places: Vec<usize> = offsets.chunks(offset_size).map(place).collect();
        let rising = places.is_sorted() && places[count] <= cff.len();
        anyhow::ensure!(rising, "an index whose offsets do not rise");
        let items = places.windows(2).map(|pair| pair[0]..pair[1]).collect();
        Ok(Self { start, offset_size, items, end: places[count] })
    }

    /// Replaces each discarded item with a single byte, and the freed space with zeros.
    fn pack(&self, cff: &mut [u8], keep: impl Fn(usize) -> bool) {
        if self.items.is_empty() {
            return;
        }
        let mut data = Vec::new();
        let mut offsets = vec![1];
        for (at, item) in self.items.iter().enumerate() {
            match keep(at) {
                true => data.extend_from_slice(&cff[item.clone()]),
                false => data.push(ENDCHAR),
            }
            offsets.push(data.len() + 1);
        }
        let size = self.offset_size;
        let offsets = offsets.iter().flat_map(|offset| offset.to_be_bytes()[8 - size..].to_vec());
        let bytes: Vec<u8> = offsets.chain(data).collect();
        let place = &mut cff[self.start + 3..self.end];
        place.fill(0);
        place[..bytes.len()].copy_from_slice(&bytes);
    }
}

/// The operators of a dictionary, each with its operands (note 5176, section 4).
fn dictionary(mut bytes: &[u8]) -> anyhow::Result<Vec<(u16, Vec<i32>)>> {
    let (mut entries, mut operands) = (Vec::new(), Vec::new());
    while let [first, rest @ ..] = bytes {
        bytes = match (first, rest) {
            (12, [second, rest @ ..]) => {
                entries.push((12 << 8 | *second as u16, std::mem::take(&mut operands)));
                rest
            }
            (0..=21, rest) => {
                entries.push((*first as u16, std::mem::take(&mut operands)));
                rest
            }
            (29, [a, b, c, d, rest @ ..]) => {
                operands.push(i32::from_be_bytes([*a, *b, *c, *d]));
                rest
            }
            // A fraction, in half-bytes up to one that is 15; its value is not needed.
            (30, rest) => {
                let end = rest.iter().position(|byte| byte & 15 == 15).context("a fraction")?;
                operands.push(0);
                &rest[end + 1..]
            }
            _ => {
                let (number, rest) = integer(bytes).context("a dictionary")?;
                operands.push(number);
                rest
            }
        };
    }
    Ok(entries)
}

fn operand(entries: &[(u16, Vec<i32>)], key: u16, at: usize) -> anyhow::Result<usize> {
    let entry = entries.iter().find(|(found, _)| *found == key);
    let number = entry.and_then(|(_, operands)| operands.get(at));
    Ok(usize::try_from(*number.with_context(|| format!("operator {key}"))?)?)
}

/// An integer of one to three bytes, and what follows it (the same in both notes).
fn integer(bytes: &[u8]) -> Option<(i32, &[u8])> {
    match bytes {
        [28, a, b, rest @ ..] => Some((i16::from_be_bytes([*a, *b]) as i32, rest)),
        [a @ 32..=246, rest @ ..] => Some((*a as i32 - 139, rest)),
        [a @ 247..=250, b, rest @ ..] => Some(((*a as i32 - 247) * 256 + *b as i32 + 108, rest)),
        [a @ 251..=254, b, rest @ ..] => Some((-(*a as i32 - 251) * 256 - *b as i32 - 108, rest)),
        _ => None,
    }
}

/// Finds the subroutines that an outline calls. It does not draw: of the arguments it needs only
/// their number, which gives the number of stems and so the length of their mask, and the last one,
/// which says which subroutine is called.
struct Tracer<'a> {
    cff: &'a [u8],
    local: Calls<'a>,
    global: Calls<'a>,
}

/// Subroutines, and which of them are called.
struct Calls<'a> {
    subroutines: &'a Index,
    called: BTreeSet<usize>,
}

impl<'a> Calls<'a> {
    fn of(subroutines: &'a Index) -> Self {
        Self { subroutines, called: BTreeSet::new() }
    }

    /// Where the subroutine with this number is. Numbers begin below 0 (note 5177, section 4.7).
    fn call(&mut self, number: i32) -> anyhow::Result<Range<usize>> {
        let bias = match self.subroutines.items.len() {
            0..1240 => 107,
            1240..33900 => 1131,
            _ => 32768,
        };
        let number = usize::try_from(number + bias)?;
        self.called.insert(number);
        Ok(self.subroutines.items.get(number).context("a subroutine")?.clone())
    }
}

impl Tracer<'_> {
    fn trace(&mut self, outline: Range<usize>) -> anyhow::Result<()> {
        self.run(outline, &mut Vec::new(), &mut 0, 0)
    }

    fn run(
        &mut self,
        code: Range<usize>,
        arguments: &mut Vec<i32>,
        stems: &mut usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(depth < 10, "subroutines that call each other");
        let mut bytes = &self.cff[code];
        while let [first, rest @ ..] = bytes {
            if let Some((number, rest)) = integer(bytes) {
                arguments.push(number);
                bytes = rest;
                continue;
            }
            bytes = match (first, rest) {
                (255, [_, _, _, _, rest @ ..]) => {
                    arguments.push(0);
                    rest
                }
                // callsubr, callgsubr
                (10 | 29, rest) => {
                    let number = arguments.pop().context("the number of a subroutine")?;
                    let calls = if *first == 10 { &mut self.local } else { &mut self.global };
                    let code = calls.call(number)?;
                    self.run(code, arguments, stems, depth + 1)?;
                    rest
                }
                // return
                (11, _) => return Ok(()),
                // hstem, vstem, hstemhm, vstemhm
                (1 | 3 | 18 | 23, rest) => {
                    *stems += arguments.len() / 2;
                    arguments.clear();
                    rest
                }
                // hintmask, cntrmask
                (19 | 20, rest) => {
                    *stems += arguments.len() / 2;
                    arguments.clear();
                    rest.get(stems.div_ceil(8)..).context("a mask of stems")?
                }
                // The flexes.
                (12, [34..=37, rest @ ..]) => {
                    arguments.clear();
                    rest
                }
                (12, _) => anyhow::bail!("an operator that no outline has used so far"),
                (_, rest) => {
                    arguments.clear();
                    rest
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outline of a glyph as text.
    #[derive(Default, PartialEq, Debug)]
    struct Path(String);

    impl ttf_parser::OutlineBuilder for Path {
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

    /// The glyphs that are kept look as they did before, and the others are empty.
    fn assert_only(kept: &BTreeSet<u16>, less: &Face, whole: &Face) {
        for glyph in 0..whole.number_of_glyphs() {
            match kept.contains(&glyph) {
                true => assert_eq!(outline(less, glyph), outline(whole, glyph), "{glyph}"),
                false => assert_eq!(outline(less, glyph), Path::default(), "{glyph}"),
            }
        }
    }

    #[test]
    fn quotes_and_dashes_that_nobody_typed_are_kept() {
        let kept = text_characters(["It's \"so\"."].into_iter());
        for (name, _) in TEXT {
            let face = Face::parse(whole_font(name).unwrap(), 0).unwrap();
            let kept = letters(&face, &kept).unwrap();
            for c in "’“”–—…Z".chars() {
                assert!(kept.contains(&face.glyph_index(c).unwrap().0), "{name}: {c}");
            }
        }
    }

    #[test]
    fn what_pages_show_is_drawn_as_before_and_the_rest_is_empty() {
        let page = "<p>q</p><math><msqrt><mi>x</mi></msqrt><mo>=</mo><mi>θ</mi><mo>(</mo></math>";
        let shown = characters(page);
        assert_eq!(shown, "x𝑥=θ𝜃(√<>&".chars().collect());
        let whole = whole_font(MATH).unwrap();
        let face = Face::parse(whole, 0).unwrap();
        let kept = glyphs(&face, &shown).unwrap();
        // The bracket comes in several sizes.
        assert!(kept.len() > shown.len() + 8, "{kept:?}");
        let less = without_outlines(whole, &kept).unwrap();
        let less = Face::parse(&less, 0).unwrap();
        assert_only(&kept, &less, &face);
        let math = |face: &Face| face.raw_face().table(Tag::from_bytes(b"MATH")).unwrap().to_vec();
        assert_eq!(math(&less), math(&face));
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

    #[test]
    fn every_outline_can_be_traced() {
        for name in TEXT.map(|(name, _)| name).into_iter().chain([MATH]) {
            let whole = whole_font(name).unwrap();
            let face = Face::parse(whole, 0).unwrap();
            let all: BTreeSet<u16> = (0..face.number_of_glyphs()).collect();
            let same = without_outlines(whole, &all).unwrap();
            let same = Face::parse(&same, 0).unwrap();
            for glyph in 0..face.number_of_glyphs() {
                assert_eq!(outline(&same, glyph), outline(&face, glyph), "{name}, {glyph}");
            }
        }
    }

    #[test]
    fn the_letters_of_a_text_are_kept_and_what_they_join_to() {
        let whole = whole_font(TEXT[0].0).unwrap();
        let face = Face::parse(whole, 0).unwrap();
        let of = |text: &str| letters(&face, &text.chars().collect()).unwrap();
        let kept = of("fié");
        // The ligature is a glyph that belongs to neither letter alone.
        assert!(kept.iter().any(|glyph| !of("f").contains(glyph) && !of("ié").contains(glyph)));
        let is_kept = |c: char| kept.contains(&face.glyph_index(c).unwrap().0);
        assert!(is_kept('f') && is_kept('i') && is_kept('é') && !is_kept('b'));
        let less = without_outlines(whole, &kept).unwrap();
        assert_only(&kept, &Face::parse(&less, 0).unwrap(), &face);
    }

    #[test]
    fn a_font_for_a_book_is_small() {
        let letters: BTreeSet<char> = ('!'..='~').chain('α'..='ω').collect();
        let italics = letters.iter().filter_map(|&letter| italic(letter));
        let font = math_font(&letters.iter().copied().chain(italics).collect()).unwrap();
        assert!(font.starts_with(b"wOF2"));
        assert!(font.len() < 120_000, "{} bytes", font.len());
        for (name, _) in TEXT {
            let font = text_font(name, &letters).unwrap();
            assert!(font.len() < 45_000, "{name}: {} bytes", font.len());
        }
    }
}
