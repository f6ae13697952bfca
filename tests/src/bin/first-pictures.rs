//! Draws each figure that the reader can touch as it stands on its page: the picture that is there
//! before the reader touches it.

use book_tests::book::pages;
use book_tests::forms::{forms, hold};

fn main() -> anyhow::Result<()> {
    for form in pages().iter().flat_map(|page| forms(&page.text)) {
        hold(form.model.as_deref())?;
        let as_shown = &form.settings()[0];
        let last = live::frames(as_shown)?.last();
        let frame = last.ok_or_else(|| anyhow::anyhow!("{as_shown} draws nothing"))?;
        frame.picture.save(&form.picture)?;
    }
    Ok(())
}
