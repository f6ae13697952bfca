use std::fmt;
use std::str::FromStr;

/// A colour: red, green and blue, each 0 to 255. In text it is `#rrggbb`, or `white` or
/// `black`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub [u8; 3]);

impl Color {
    pub const WHITE: Self = Self([255; 3]);
    pub const BLACK: Self = Self([0; 3]);
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl FromStr for Color {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = match text.to_lowercase().as_str() {
            "white" => return Ok(Self::WHITE),
            "black" => return Ok(Self::BLACK),
            lower => lower.strip_prefix('#').unwrap_or(lower).to_string(),
        };
        let hex =
            digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u32::from_str_radix(&digits, 16).ok().filter(|_| hex);
        let [_, red, green, blue] = number
            .ok_or("a colour such as \"#204060\", white or black is needed")?
            .to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

#[cfg(test)]
mod tests {
    use super::Color;

    #[test]
    fn colours_are_read_as_they_are_written() {
        let color = Color([0x20, 0x40, 0x0f]);
        assert_eq!(color.to_string(), "#20400f");
        for text in ["#20400f", "20400F"] {
            assert_eq!(text.parse(), Ok(color));
        }
        assert_eq!("White".parse(), Ok(Color::WHITE));
        for text in ["", "#", "#2040", "#+20400", "#20406g", "grey", "#20406080"] {
            assert!(text.parse::<Color>().is_err(), "{text}");
        }
    }
}
