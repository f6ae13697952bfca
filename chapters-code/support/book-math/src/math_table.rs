//! The `MATH` table of a font, reduced to fewer glyphs (OpenType 1.9, "MATH: the mathematical
//! typesetting table").
//!
//! What MathML Core does not use is left out: kerning at the corners of glyphs, and the list of
//! extended shapes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use ttf_parser::math::{self, GlyphConstruction, GlyphConstructions, MathValue, MathValues};
use ttf_parser::GlyphId;
use write_fonts::tables::layout::CoverageTable;
use write_fonts::types::GlyphId16;
use write_fonts::validate::{Validate, ValidationCtx};
use write_fonts::{dump_table, FontWrite, NullableOffsetMarker, OffsetMarker, TableWriter};

/// The length of the table of constants.
const CONSTANTS: usize = 214;
const VERSION: u32 = 0x1_0000;

/// The larger forms of these glyphs, and the pieces that brackets and roots are made of.
pub fn sizes_and_parts(math: &math::Table, glyphs: &[u16]) -> BTreeSet<u16> {
    let tables = math.variants.iter().flat_map(directions);
    let made = tables.flat_map(|table| glyphs.iter().filter_map(move |&g| table.get(GlyphId(g))));
    made.flat_map(|construction| {
        let larger = construction.variants.into_iter().map(|variant| variant.variant_glyph.0);
        let parts = construction.assembly.into_iter().flat_map(|assembly| assembly.parts);
        larger.chain(parts.map(|part| part.glyph_id.0))
    })
    .collect()
}

fn directions<'a>(variants: &math::Variants<'a>) -> [GlyphConstructions<'a>; 2] {
    [variants.vertical_constructions, variants.horizontal_constructions]
}

/// The table for a font that keeps only these glyphs of the old one. `glyphs` is in ascending
/// order, so that lists sorted by glyph stay sorted.
///
/// # Errors
/// If `table` does not have the expected form, or refers to a device table.
pub fn subset(table: &[u8], glyphs: &[u16]) -> anyhow::Result<Vec<u8>> {
    let new: BTreeMap<u16, u16> = glyphs.iter().copied().zip(0..).collect();
    let math = math::Table::parse(table).context("a MATH table")?;
    let constants = table.get(4..6).context("a MATH table")?;
    let constants = u16::from_be_bytes([constants[0], constants[1]]) as usize;
    let constants = table.get(constants..constants + CONSTANTS).context("constants")?.to_vec();
    // The first four constants are plain numbers; each of the others is a value and the offset of a
    // device table.
    let values = constants[8..CONSTANTS - 2].chunks(4);
    anyhow::ensure!(values.into_iter().all(|value| value[2..] == [0, 0]), "a table for devices");
    let info = math.glyph_info.context("a list of glyphs")?;
    let variants = math.variants.context("a list of variants")?;
    let [vertical, horizontal] =
        directions(&variants).map(|table| ByGlyph::constructions(&table, &new));
    let table = Table {
        constants: Bytes(constants).into(),
        glyph_info: GlyphInfo {
            italics: ByGlyph::values(info.italic_corrections, &new)?.into(),
            accents: ByGlyph::values(info.top_accent_attachments, &new)?.into(),
        }
        .into(),
        variants: Variants {
            min_overlap: variants.min_connector_overlap,
            vertical: vertical?,
            horizontal: horizontal?,
        }
        .into(),
    };
    Ok(dump_table(&table)?)
}

struct Table {
    constants: OffsetMarker<Bytes>,
    glyph_info: OffsetMarker<GlyphInfo>,
    variants: OffsetMarker<Variants>,
}

struct Bytes(Vec<u8>);

struct GlyphInfo {
    italics: OffsetMarker<ByGlyph<[u8; 4]>>,
    accents: OffsetMarker<ByGlyph<[u8; 4]>>,
}

struct Variants {
    min_overlap: u16,
    vertical: ByGlyph<OffsetMarker<Construction>>,
    horizontal: ByGlyph<OffsetMarker<Construction>>,
}

/// A list of glyphs, and an item for each.
struct ByGlyph<T> {
    glyphs: OffsetMarker<CoverageTable>,
    items: Vec<T>,
}

struct Construction {
    assembly: NullableOffsetMarker<Bytes>,
    /// A glyph and its size.
    variants: Vec<[u16; 2]>,
}

impl<T> ByGlyph<T> {
    fn of(pairs: impl Iterator<Item = anyhow::Result<(u16, T)>>) -> anyhow::Result<Self> {
        let (glyphs, items): (Vec<u16>, _) =
            pairs.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
        let glyphs: CoverageTable = glyphs.into_iter().map(GlyphId16::new).collect();
        Ok(Self { glyphs: glyphs.into(), items })
    }
}

impl ByGlyph<[u8; 4]> {
    fn values(table: Option<MathValues>, new: &BTreeMap<u16, u16>) -> anyhow::Result<Self> {
        let table = table.context("values of glyphs")?;
        let values = new.iter().filter_map(|(&old, &new)| Some((new, table.get(GlyphId(old))?)));
        Self::of(values.map(|(new, found)| Ok((new, value(found)?))))
    }
}

impl ByGlyph<OffsetMarker<Construction>> {
    /// Leaves out glyphs whose own pieces are missing: such glyphs are only pieces of others, and
    /// are never stretched themselves.
    fn constructions(table: &GlyphConstructions, new: &BTreeMap<u16, u16>) -> anyhow::Result<Self> {
        let made = new.iter().filter_map(|(&old, &id)| Some((id, table.get(GlyphId(old))?)));
        Self::of(made.filter_map(|(id, made)| {
            let made = construction(&made, new).transpose()?;
            Some(made.map(|made| (id, made.into())))
        }))
    }
}

/// The same construction with the new glyphs, if all of them are there.
fn construction(
    made: &GlyphConstruction,
    new: &BTreeMap<u16, u16>,
) -> anyhow::Result<Option<Construction>> {
    let variants = made.variants.into_iter();
    let variants = variants.map(|v| Some([*new.get(&v.variant_glyph.0)?, v.advance_measurement]));
    let Some(variants) = variants.collect() else { return Ok(None) };
    let Some(old) = made.assembly else {
        return Ok(Some(Construction { assembly: None.into(), variants }));
    };
    let mut assembly = value(old.italics_correction)?.to_vec();
    assembly.extend(old.parts.len().to_be_bytes());
    for part in old.parts {
        let Some(&glyph) = new.get(&part.glyph_id.0) else { return Ok(None) };
        let flags = u16::from(part.part_flags.extender());
        let [start, end] = [part.start_connector_length, part.end_connector_length];
        let numbers = [glyph, start, end, part.full_advance, flags];
        assembly.extend(numbers.into_iter().flat_map(u16::to_be_bytes));
    }
    Ok(Some(Construction { assembly: Some(Bytes(assembly)).into(), variants }))
}

fn value(value: MathValue) -> anyhow::Result<[u8; 4]> {
    anyhow::ensure!(value.device.is_none(), "a table for devices");
    let [high, low] = value.value.to_be_bytes();
    Ok([high, low, 0, 0])
}

impl FontWrite for Table {
    fn write_into(&self, writer: &mut TableWriter) {
        VERSION.write_into(writer);
        self.constants.write_into(writer);
        self.glyph_info.write_into(writer);
        self.variants.write_into(writer);
    }
}

impl Validate for Table {
    fn validate_impl(&self, _: &mut ValidationCtx) {}
}

impl FontWrite for Bytes {
    fn write_into(&self, writer: &mut TableWriter) {
        writer.write_slice(&self.0);
    }
}

impl FontWrite for GlyphInfo {
    fn write_into(&self, writer: &mut TableWriter) {
        self.italics.write_into(writer);
        self.accents.write_into(writer);
        // Neither extended shapes nor kerning.
        [0u16; 2].write_into(writer);
    }
}

impl FontWrite for ByGlyph<[u8; 4]> {
    fn write_into(&self, writer: &mut TableWriter) {
        self.glyphs.write_into(writer);
        (self.items.len() as u16).write_into(writer);
        writer.write_slice(self.items.as_flattened());
    }
}

impl FontWrite for Variants {
    fn write_into(&self, writer: &mut TableWriter) {
        self.min_overlap.write_into(writer);
        self.vertical.glyphs.write_into(writer);
        self.horizontal.glyphs.write_into(writer);
        (self.vertical.items.len() as u16).write_into(writer);
        (self.horizontal.items.len() as u16).write_into(writer);
        self.vertical.items.write_into(writer);
        self.horizontal.items.write_into(writer);
    }
}

impl FontWrite for Construction {
    fn write_into(&self, writer: &mut TableWriter) {
        self.assembly.write_into(writer);
        (self.variants.len() as u16).write_into(writer);
        self.variants.as_flattened().write_into(writer);
    }
}
