//! The style of the page, and the policy that allows it.
//!
//! `Html` makes a [`Style`] when the format is made and whenever a palette changes, and never for a failure. First the style
//! sheet is put together from both palettes and the rules, then it is hashed, and the hash goes into the policy. A browser hashes
//! what stands in the `style` element ([CSP, matching of elements](https://www.w3.org/TR/CSP3/#match-element-to-source-list)): the page
//! must write the text to the byte, or it has no style at all.
//!
//! Colours are named here and set by `palette`; what the elements say is not known here.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::palette::Palette;

/// A style sheet, and the one policy under which browsers apply it.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// What stands between `<style>` and `</style>`, to the byte. It has no `<` and needs no escaping.
    pub(super) text: String,
    /// The value of `Content-Security-Policy`: this style and images in `data:` URLs are allowed. Other sources, frames around the
    /// page, a `base` element and forms are not.
    pub(super) policy: HeaderValue,
}

impl Style {
    /// The style with these palettes: `dark` where the reader prefers a dark ground, `light` otherwise.
    pub(super) fn of(light: &Palette, dark: &Palette) -> Self {
        let (light, dark) = (light.properties(), dark.properties());
        let text = format!(
            ":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{RULES}"
        );
        let hash = hash(&text);
        // The page names an empty icon by a `data:` URL, or browsers would ask the failing site for `/favicon.ico`.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        // The policy is visible ASCII, as Base64 is, so the fallback is never used; it would only cost the page its style.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { text, policy }
    }
}

/// A `hash-source` of CSP without its quotes and its algorithm: SHA-256 in Base64.
fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

/// The rules, which name every colour by its custom property: a colour in figures would escape the test of the contrast.
const RULES: &str = "\
*{box-sizing:border-box}\
body{margin:0;background:var(--ground);color:var(--text);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:40rem;margin:0 auto;padding:clamp(1.5rem,8vw,5rem) 1.25rem}\
h1{margin:.25rem 0 .75rem;font-size:clamp(1.5rem,6vw,2.25rem);line-height:1.2}\
h2{margin:2rem 0 .5rem;font-size:1.125rem}\
p{margin:0}\
ul{margin:0;padding-left:1.25rem}\
li+li{margin-top:.25rem}\
a{color:var(--link)}\
code{font-family:ui-monospace,monospace}\
.quiet{color:var(--quiet)}\
ul+.quiet{margin-top:2rem}\
.way{display:flex;margin:1rem 0 0;padding:0;list-style:none}\
.way li{position:relative;flex:1;margin:0;text-align:center}\
.line{position:absolute;top:1.25rem;right:calc(50% + 1.75rem);width:calc(100% - 3.5rem);border-top:2px solid var(--quiet)}\
.failed .line{border-top:2px dashed var(--failed)}\
.mark{display:flex;align-items:center;justify-content:center;width:2.5rem;height:2.5rem;margin:0 auto .5rem;\
border:2px solid;border-radius:50%;font-weight:700;line-height:1}\
.hop,.state{display:block}\
.hop{font-weight:600}\
.state{font-size:.875rem}\
.fine .mark,.fine .state{color:var(--fine)}\
.failed .mark,.failed .state{color:var(--failed)}\
.failed .state{font-weight:600}\
.unknown .mark,.unknown .state{color:var(--quiet)}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_style_by_its_hash() {
        // The hash of the empty text is known from elsewhere: a wrong function would still agree with itself below.
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let style = Style::of(&Palette::LIGHT, &Palette::DARK);
        let policy = style.policy.to_str().unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{}'", hash(&style.text))), "{policy}");
        assert!(!style.text.contains('<'), "it would end the element, or need escaping");
        let other = Style::of(&Palette::LIGHT.link([1, 2, 3]), &Palette::DARK);
        assert_ne!(style.policy, other.policy);
    }

    #[test]
    fn every_colour_in_the_rules_is_one_of_the_palette() {
        let known: Vec<_> = Palette::LIGHT.pairs().map(|(name, _)| name).into_iter().chain(["ground"]).collect();
        let used: Vec<_> = RULES.split("var(--").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
        let unknown: Vec<_> = used.iter().filter(|name| !known.contains(name)).collect();
        let unused: Vec<_> = known.iter().filter(|name| !used.contains(name)).collect();
        assert!(unknown.is_empty() && unused.is_empty(), "unknown {unknown:?}, unused {unused:?}");
        assert!(!RULES.contains('#') && !RULES.contains("rgb"), "a colour that the contrast test does not see");
    }
}
