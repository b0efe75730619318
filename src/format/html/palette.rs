//! Colours, and how well they stand out from each other.
//!
//! A palette knows nothing of rules and elements: `style` takes its [custom properties](Palette::properties), and names each of
//! them in the rules. Colours are numbers and not texts, so that a user can put no other style into the page with them.

/// The colours of a page, as red, green and blue, 0 to 255 each, in the sRGB space of CSS.
///
/// | colour | of |
/// | --- | --- |
/// | [`ground`](Self::ground) | the page, behind everything |
/// | [`text`](Self::text) | headings, sentences and names of hops |
/// | [`quiet`](Self::quiet) | the status, the name of the gateway, hops of which nothing is known, and the lines between hops |
/// | [`link`](Self::link) | the [link to help](super::Html::support) |
/// | [`fine`](Self::fine) | hops that work |
/// | [`failed`](Self::failed) | the hop that failed |
///
/// Text must stand out from its ground by 4.5 to 1
/// ([WCAG 2.2, criterion 1.4.3](https://www.w3.org/TR/WCAG22/#contrast-minimum)). The palettes of this crate do; of your own, a
/// test can say so:
///
/// ```
/// use tower_bad_gateway::format::Palette;
///
/// let brand = Palette::LIGHT.link([0x8a, 0x1c, 0x7c]);
/// assert!(brand.contrast() >= 4.5);
/// assert!(Palette::LIGHT.link([0xff, 0xd7, 0x00]).contrast() < 4.5); // gold on white
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Palette {
    /// What every other colour stands on.
    ground: Colour,
    /// Text that matters.
    text: Colour,
    /// Text of less importance.
    quiet: Colour,
    /// Links.
    link: Colour,
    /// Hops that work.
    fine: Colour,
    /// The hop that failed.
    failed: Colour,
}

/// Red, green and blue.
type Colour = [u8; 3];

impl Palette {
    /// On white: the default of [`Html::light`](super::Html::light). Every colour has a contrast of 4.5 or more.
    pub const LIGHT: Self = Self {
        ground: [0xff, 0xff, 0xff],
        text: [0x1a, 0x1a, 0x1a],
        quiet: [0x59, 0x59, 0x59],
        link: [0x0b, 0x57, 0xd0],
        fine: [0x1b, 0x6e, 0x3c],
        failed: [0xb3, 0x26, 0x1e],
    };

    /// On near black: the default of [`Html::dark`](super::Html::dark). Every colour has a contrast of 4.5 or more.
    pub const DARK: Self = Self {
        ground: [0x12, 0x12, 0x12],
        text: [0xe8, 0xe8, 0xe8],
        quiet: [0xa3, 0xa3, 0xa3],
        link: [0x8a, 0xb4, 0xf8],
        fine: [0x7d, 0xd8, 0x9b],
        failed: [0xff, 0xa3, 0x9b],
    };

    /// Sets the colour of the page behind everything else. All other colours have to stand out from it: look at
    /// [`contrast`](Self::contrast) after a change.
    ///
    /// ```
    /// use tower_bad_gateway::format::{Html, Palette};
    ///
    /// const SEPIA: Palette = Palette::LIGHT.ground([0xfb, 0xf4, 0xe4]);
    /// assert!(SEPIA.contrast() >= 4.5);
    /// let page = Html::new().light(SEPIA);
    /// ```
    #[must_use]
    pub const fn ground(mut self, colour: [u8; 3]) -> Self {
        self.ground = colour;
        self
    }

    /// Sets the colour of headings, sentences and the names of hops.
    #[must_use]
    pub const fn text(mut self, colour: [u8; 3]) -> Self {
        self.text = colour;
        self
    }

    /// Sets the colour of what is less important: the status, the name of the gateway, hops of which nothing is known, and the
    /// lines between hops.
    #[must_use]
    pub const fn quiet(mut self, colour: [u8; 3]) -> Self {
        self.quiet = colour;
        self
    }

    /// Sets the colour of the [link to help](super::Html::support).
    #[must_use]
    pub const fn link(mut self, colour: [u8; 3]) -> Self {
        self.link = colour;
        self
    }

    /// Sets the colour of the sign and the state of hops that work.
    #[must_use]
    pub const fn fine(mut self, colour: [u8; 3]) -> Self {
        self.fine = colour;
        self
    }

    /// Sets the colour of the sign and the state of the hop that failed, and of the broken line that leads to it.
    #[must_use]
    pub const fn failed(mut self, colour: [u8; 3]) -> Self {
        self.failed = colour;
        self
    }

    /// The least contrast of any colour to its ground, between 1 and 21
    /// ([WCAG 2.2, contrast ratio](https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)). See the [type](Self) for an example.
    #[must_use]
    pub fn contrast(&self) -> f64 {
        self.pairs().into_iter().map(|(_, colour)| contrast(colour, self.ground)).fold(f64::INFINITY, f64::min)
    }

    /// Every colour but the ground, with its name in the style.
    pub(super) fn pairs(&self) -> [(&'static str, Colour); 5] {
        [("text", self.text), ("quiet", self.quiet), ("link", self.link), ("fine", self.fine), ("failed", self.failed)]
    }

    /// The colours as custom properties of CSS, such as `--link:#0b57d0;`, the ground first.
    pub(super) fn properties(&self) -> String {
        let ground = [("ground", self.ground)];
        let all = ground.into_iter().chain(self.pairs());
        all.map(|(name, [red, green, blue])| format!("--{name}:#{red:02x}{green:02x}{blue:02x};")).collect()
    }
}

/// The contrast ratio of WCAG, whichever of the two colours is the lighter one.
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The [relative luminance](https://www.w3.org/TR/WCAG22/#dfn-relative-luminance) of WCAG: 0 for black, 1 for white.
fn luminance([red, green, blue]: Colour) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((contrast([0; 3], [0xff; 3]) - 21.0).abs() < 0.001);
        assert!((contrast([0xff; 3], [0xff; 3]) - 1.0).abs() < 0.001);
        // The lightest grey that is enough on white, and the next one, which is not: a rounding error would move the border.
        assert!((contrast([0x76; 3], [0xff; 3]) - 4.54).abs() < 0.01);
        assert!(contrast([0x77; 3], [0xff; 3]) < 4.5);
    }

    #[test]
    fn every_setter_sets_its_own_colour() {
        let all = Palette::LIGHT
            .ground([0, 0, 1])
            .text([0, 0, 2])
            .quiet([0, 0, 3])
            .link([0, 0, 4])
            .fine([0, 0, 5])
            .failed([0, 0, 6]);
        let expected =
            "--ground:#000001;--text:#000002;--quiet:#000003;--link:#000004;--fine:#000005;--failed:#000006;";
        assert_eq!(all.properties(), expected);
        assert!((Palette::LIGHT.quiet([0x77; 3]).contrast() - 4.48).abs() < 0.01, "the least of all");
    }

    #[test]
    fn every_colour_stands_out_from_its_ground() {
        let wrong: Vec<_> = [("light", Palette::LIGHT), ("dark", Palette::DARK)]
            .into_iter()
            .flat_map(|(palette, colours)| {
                let ratio = move |(name, colour)| (palette, name, contrast(colour, colours.ground));
                colours.pairs().map(ratio)
            })
            .inspect(|(palette, name, ratio)| println!("{palette:<6} {name:<8} {ratio:.2}"))
            .filter(|(.., ratio)| *ratio < 4.5)
            .collect();
        assert!(wrong.is_empty(), "(palette, colour, contrast): {wrong:?}");
    }
}
