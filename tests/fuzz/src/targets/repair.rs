//! Corrects the checksums and lengths of a damaged file, so that the code after the checks is
//! reached.

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use flate2::Crc;

/// Nothing to correct.
pub fn nothing(_: &mut Vec<u8>) {}

/// Corrects the checksum at the end of every chunk of a PNG file.
pub fn png(bytes: &mut [u8]) {
    let mut start = 8;
    while let Some(header) = bytes.get(start..).and_then(|rest| rest.first_chunk::<4>()) {
        let end = start + 8 + u32::from_be_bytes(*header) as usize;
        let Some(sum) = bytes.get(start + 4..end).map(sum) else { return };
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&sum.to_be_bytes());
        start = end + 4;
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Bytes of a gzip header without a name.
const GZIP_HEADER: usize = 10;

/// Corrects the checksum and the length at the end of a gzip file, if it can be unzipped.
pub fn gzip(bytes: &mut Vec<u8>) {
    if !bytes.starts_with(&[0x1f, 0x8b]) || bytes.len() < GZIP_HEADER {
        return;
    }
    let mut decoder = DeflateDecoder::new(&bytes[GZIP_HEADER..]);
    let mut content = Vec::new();
    if decoder.by_ref().take(1 << 16).read_to_end(&mut content).is_err() {
        return;
    }
    let end = GZIP_HEADER + decoder.total_in() as usize;
    bytes.truncate(end);
    bytes.extend(sum(&content).to_le_bytes());
    bytes.extend((content.len() as u32).to_le_bytes());
}

/// Corrects the length of a safetensors file's header, which ends with the brace that closes the
/// first one, or with the spaces after it.
pub fn safetensors(bytes: &mut [u8]) {
    let mut depth = 0usize;
    let closes = |byte: &u8| {
        depth += (*byte == b'{') as usize;
        depth = depth.saturating_sub((*byte == b'}') as usize);
        depth == 0
    };
    let Some(end) = bytes.get(8..).and_then(|header| header.iter().position(closes)) else {
        return;
    };
    let spaces = bytes[8 + end + 1..].iter().take_while(|byte| **byte == b' ').count();
    bytes[..8].copy_from_slice(&((end + 1 + spaces) as u64).to_le_bytes());
}
