//! Sample data: seeded, entirely invented ACES 4.2 files and PIES item elements.
//!
//! Shape, sizes and churn follow what suppliers send; every number, name and text is made up, so
//! nothing here is under anyone's licence. Brand codes start with `ZZZ`, which no brand owns.
//!
//! Equal fields give equal bytes on every platform. `revision` n is the state n months after the
//! base, reached by n steps of small edits, so that two revisions differ as two monthly files do:
//! mostly equal content, with every date moved and every `App` renumbered behind the first change.

use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Write};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// The generator behind all sample data. `StdRng` may become another algorithm in a later version
/// of rand; this one is named. How rand turns its numbers into ranges may still change, which only
/// changes the sample.
type Random = Xoshiro256PlusPlus;

/// Brand of everything in the sample, but for a few parts that are sold under [`SECOND_BRAND`] too.
const BRAND: &str = "ZZZZ";
const SECOND_BRAND: &str = "ZZZX";
const SUB_BRAND: &str = "ZZZY";

/// Spread of the number of applications per part.
const SIGMA: f64 = 0.8;
/// Keeps one part in memory, whatever `apps_per_part` says.
const MOST_APPS_OF_A_PART: u32 = 1_000_000;

// Churn of one month; for applications per application, for items per item.
const APP_DROPPED: f64 = 0.005;
const APP_EDITED: f64 = 0.01;
const APP_ADDED: f64 = 0.015;
const ITEM_EDITED: f64 = 0.01;

// What the streams of random numbers are for, so that no two of them are the same.
const APPS: u64 = 1;
const ITEMS: u64 = 2;

const NOTES: [&str; 16] = [
    "With ABS",
    "Without ABS",
    "Exc. Police Vehicle",
    "From 01/15/2008 Production Date",
    "Heavy Duty Suspension",
    "Rear Drum Brakes; 11 5/8\" & Larger",
    "Vehicles Without Electronic Parking Brake",
    "Up to GVWR < 9,900 lbs.",
    "Driver's Side & Passenger's Side",
    "Use \"B\" hardware kit if rotor > 12 in.",
    "Rotor Ø 280 mm",
    "Für Fahrzeuge mit 17″ Rädern",
    "Avec freins arrière à tambour – sauf modèle allongé",
    "Con frenos traseros de tambor; año de producción según etiqueta",
    "前輪のみ（寒冷地仕様を除く）",
    "Только для передней оси",
];
const DESCRIPTIONS: [&str; 4] = [
    "Ceramic Disc Brake Pad Set With Hardware",
    "Semi-Metallic Disc Brake Pad Set",
    "Disc Brake Rotor & Hub Assembly",
    "Jeu de plaquettes de frein céramique",
];
const MARKETING: &str =
    "Quiet, clean and long lasting ceramic friction material engineered for daily driving. ";
const FEATURES: [&str; 5] = [
    "Chamfered and slotted",
    "Multi-layer shims",
    "Coated hat & edges",
    "Copper content < 0.5 %",
    "OE \"mirror\" finish – ready to install",
];
const COMPETITORS: [&str; 6] =
    ["Invented Friction", "Sample & Sons", "Fictive Brakes", "Beispiel Bremsen", "No-Name \"Pro\"", "Étalon"];

/// A generated ACES file: so many parts, applications per part, and months since the base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AcesFile {
    /// Number of parts. A part whose applications were all dropped by later revisions is absent.
    pub parts: u32,
    /// Mean number of applications per part in revision 0 (log-normal, never below one).
    pub apps_per_part: f64,
    /// Chooses the content.
    pub seed: u64,
    /// Months since the base file; the time to generate grows with it.
    pub revision: u32,
}

impl AcesFile {
    /// Writes the file and returns the number of applications in it. Only the applications of one
    /// part are in memory at a time; writes are buffered here.
    ///
    /// # Errors
    ///
    /// `out` could not be written to.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        self.write_header(&mut out)?;
        let mut apps: u64 = 0;
        for index in 0..self.parts {
            let part = Part::new(index);
            for app in self.apps(index) {
                apps = apps.saturating_add(1);
                app.write(&mut out, apps, &part)?;
            }
        }
        write!(out, "  <Footer>\n    <RecordCount>{apps}</RecordCount>\n  </Footer>\n</ACES>\n")?;
        out.flush()?;
        Ok(apps)
    }

    /// The whole file in memory.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector has no way to fail.
        let _never_fails = self.write_to(&mut bytes);
        bytes
    }

    fn write_header(&self, out: &mut impl Write) -> io::Result<()> {
        let date = Date(self.revision);
        write!(
            out,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<ACES version="4.2">
  <Header>
    <Company>Example Brakes &amp; Söhne</Company>
    <SenderName>Test Sender</SenderName>
    <SenderPhone>999-555-0100</SenderPhone>
    <TransferDate>{date}</TransferDate>
    <BrandAAIAID>{BRAND}</BrandAAIAID>
    <SubBrandAAIAID>{SUB_BRAND}</SubBrandAAIAID>
    <DocumentTitle>Example Disc Brake Pads</DocumentTitle>
    <EffectiveDate>{date}</EffectiveDate>
    <ApprovedFor>
      <Country>US</Country>
      <Country>CA</Country>
    </ApprovedFor>
    <SubmissionType>FULL</SubmissionType>
    <VcdbVersionDate>{date}</VcdbVersionDate>
    <QdbVersionDate>{date}</QdbVersionDate>
    <PcdbVersionDate>{date}</PcdbVersionDate>
  </Header>
"#
        )
    }

    /// The applications of one part at this revision.
    fn apps(&self, part: u32) -> Vec<App> {
        let mut random = random_for(APPS, self.seed, part, 0);
        let wanted = self.apps_per_part * log_normal(&mut random);
        let kind = PartKind {
            part_type: pick(&mut random, &[1684, 1684, 1896, 1688]),
            position: pick(&mut random, &[22, 30]),
        };
        let mut apps = Vec::new();
        for count in 1..=MOST_APPS_OF_A_PART {
            apps.push(App::new(&mut random, kind));
            // Counting up needs no conversion from a float, and ends for every value of it.
            if f64::from(count) + 0.5 > wanted || wanted.is_nan() {
                break;
            }
        }
        for revision in 1..=self.revision {
            // Each month has its own stream: what it does to a part does not depend on how many
            // numbers the months before it used.
            let mut random = random_for(APPS, self.seed, part, revision);
            let added = apps.iter().filter(|_| random.random_bool(APP_ADDED)).count();
            apps.retain(|_| !random.random_bool(APP_DROPPED));
            for app in &mut apps {
                if random.random_bool(APP_EDITED) {
                    app.edit(&mut random);
                }
            }
            apps.extend((0..added).map(|_| App::new(&mut random, kind)));
        }
        apps
    }
}

/// What all applications of one part share.
#[derive(Clone, Copy)]
struct PartKind {
    part_type: u32,
    position: u32,
}

/// Which vehicle an application is for.
enum Vehicle {
    Base { id: u32, sub_model: Option<u32> },
    Years { from: u32, to: u32, make: u32, model: u32 },
}

struct Qualifier {
    id: u32,
    inches: u32,
}

/// One application, but for its running number and part number.
struct App {
    vehicle: Vehicle,
    drive_type: Option<u32>,
    engine_base: Option<u32>,
    brake_system: Option<u32>,
    front_brake_type: Option<u32>,
    qualifier: Option<Qualifier>,
    note: Option<&'static str>,
    quantity: u32,
    label: bool,
    kind: PartKind,
}

impl App {
    fn new(random: &mut Random, kind: PartKind) -> Self {
        let vehicle = if random.random_bool(0.03) {
            let from = random.random_range(1960..=2024);
            Vehicle::Years {
                from,
                to: from + random.random_range(0..=8),
                make: random.random_range(1..=1_200),
                model: random.random_range(1..=30_000),
            }
        } else {
            Vehicle::Base { id: random.random_range(1..=180_000), sub_model: maybe(random, 0.35, 1, 4_000) }
        };
        Self {
            vehicle,
            drive_type: maybe(random, 0.25, 4, 13),
            engine_base: maybe(random, 0.40, 1, 12_000),
            brake_system: maybe(random, 0.15, 4, 9),
            front_brake_type: maybe(random, 0.30, 4, 12),
            qualifier: maybe(random, 0.20, 1, 30_000)
                .map(|id| Qualifier { id, inches: random.random_range(9..=16) }),
            note: random.random_bool(0.25).then(|| pick(random, &NOTES)),
            quantity: pick(random, &[1, 1, 2]),
            label: random.random_bool(0.05),
            kind,
        }
    }

    /// Changes one thing, so that the application is never what it was.
    fn edit(&mut self, random: &mut Random) {
        match random.random_range(0..4) {
            0 => self.quantity = self.quantity % 2 + 1,
            1 => self.engine_base = Some(self.engine_base.map_or(1, |id| id % 12_000 + 1)),
            2 => {
                self.note = match self.note {
                    Some(_) => None,
                    None => Some(pick(random, &NOTES)),
                };
            }
            _ => {
                self.qualifier = match self.qualifier {
                    Some(Qualifier { id, inches }) => Some(Qualifier { id, inches: inches + 1 }),
                    None => Some(Qualifier { id: random.random_range(1..=30_000), inches: 9 }),
                };
            }
        }
    }

    /// The children stand in the order the schema asks for.
    fn write(&self, out: &mut impl Write, number: u64, part: &Part) -> io::Result<()> {
        writeln!(out, "  <App action=\"A\" id=\"{number}\">")?;
        match self.vehicle {
            Vehicle::Base { id, sub_model } => {
                coded(out, "BaseVehicle", Some(id))?;
                coded(out, "SubModel", sub_model)?;
            }
            Vehicle::Years { from, to, make, model } => {
                writeln!(out, "    <Years from=\"{from}\" to=\"{to}\"/>")?;
                coded(out, "Make", Some(make))?;
                coded(out, "Model", Some(model))?;
            }
        }
        coded(out, "DriveType", self.drive_type)?;
        coded(out, "EngineBase", self.engine_base)?;
        coded(out, "BrakeSystem", self.brake_system)?;
        coded(out, "FrontBrakeType", self.front_brake_type)?;
        if let Some(Qualifier { id, inches }) = self.qualifier {
            write!(
                out,
                "    <Qual id=\"{id}\">\n      <param value=\"{inches}\" uom=\"in\"/>\n      <text>With {inches} Inch Rotor</text>\n    </Qual>\n"
            )?;
        }
        if let Some(note) = self.note {
            writeln!(out, "    <Note>{}</Note>", Escaped(note))?;
        }
        writeln!(out, "    <Qty>{}</Qty>", self.quantity)?;
        coded(out, "PartType", Some(self.kind.part_type))?;
        if self.label {
            out.write_all(b"    <MfrLabel>Gold &amp; Quiet</MfrLabel>\n")?;
        }
        coded(out, "Position", Some(self.kind.position))?;
        if part.brand == BRAND {
            writeln!(out, "    <Part>{}</Part>", Escaped(&part.number))?;
        } else {
            writeln!(
                out,
                "    <Part BrandAAIAID=\"{}\" SubBrandAAIAID=\"{SUB_BRAND}\">{}</Part>",
                part.brand,
                Escaped(&part.number)
            )?;
        }
        out.write_all(b"  </App>\n")
    }
}

/// Writes `<name id="id"/>`, if there is an id.
fn coded(out: &mut impl Write, name: &str, id: Option<u32>) -> io::Result<()> {
    match id {
        Some(id) => writeln!(out, "    <{name} id=\"{id}\"/>"),
        None => Ok(()),
    }
}

/// One PIES item as a grain holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `BRAND|SUBBRAND|PART`, as in `ZZZZ|ZZZY|EB100001`.
    pub key: String,
    /// The `<Item>` element, 1 to 6 KB, as cut out of a file.
    pub xml: String,
}

/// The items of parts 0 to `count` - 1, which are those of an [`AcesFile`], at one revision.
///
/// An edited item has new prices, a new effective date and otherwise its old content.
#[must_use]
pub fn pies_items(count: u32, seed: u64, revision: u32) -> Vec<Item> {
    (0..count).map(|index| item(index, seed, revision)).collect()
}

fn item(index: u32, seed: u64, revision: u32) -> Item {
    let edited = (1..=revision)
        .rev()
        .find(|month| random_for(ITEMS, seed, index, *month).random_bool(ITEM_EDITED))
        .unwrap_or(0);
    let part = Part::new(index);
    let key = format!("{}|{SUB_BRAND}|{}", part.brand, part.number);
    let mut xml = String::with_capacity(4096);
    // Writing to a string has no way to fail.
    let _never_fails = write_item(&mut xml, &part, seed, edited);
    Item { key, xml }
}

fn write_item(xml: &mut String, part: &Part, seed: u64, edited: u32) -> fmt::Result {
    // The content comes from the base stream, what an edit changes from the stream of its month.
    let mut base = random_for(ITEMS, seed, part.index, 0);
    let mut month = random_for(ITEMS, seed, part.index, edited);
    let gtin: u64 = base.random_range(0..10_u64.pow(13));
    write!(
        xml,
        r#"<Item MaintenanceType="A">
      <HazardousMaterialCode>N</HazardousMaterialCode>
      <ItemLevelGTIN GTINQualifier="UP">0{gtin:013}</ItemLevelGTIN>
      <PartNumber>{number}</PartNumber>
      <BrandAAIAID>{brand}</BrandAAIAID>
      <BrandLabel>Example</BrandLabel>
      <SubBrandAAIAID>{SUB_BRAND}</SubBrandAAIAID>
      <SubBrandLabel>Example Gold</SubBrandLabel>
      <ACESApplications>Y</ACESApplications>
      <ItemQuantitySize UOM="EA">1</ItemQuantitySize>
      <ContainerType>BX</ContainerType>
      <QuantityPerApplication Qualifier="NOR" UOM="EA">1</QuantityPerApplication>
      <ItemEffectiveDate>{date}</ItemEffectiveDate>
      <AvailableDate>2020-01-01</AvailableDate>
      <MinimumOrderQuantity UOM="EA">1</MinimumOrderQuantity>
      <PartTerminologyID>{part_type}</PartTerminologyID>
"#,
        number = Escaped(&part.number),
        brand = part.brand,
        date = Date(edited),
        part_type = pick(&mut base, &[1684, 1684, 1896, 1688]),
    )?;
    write_descriptions(xml, &mut base)?;
    write_prices(xml, &mut month, edited)?;
    if base.random_bool(0.6) {
        write_attributes(xml, &mut base)?;
    }
    if base.random_bool(0.5) {
        write_package(xml, &mut base, gtin)?;
    }
    if base.random_bool(0.5) {
        write_interchanges(xml, &mut base)?;
    }
    if base.random_bool(0.4) {
        write_image(xml, &mut base, part)?;
    }
    xml.push_str("    </Item>");
    Ok(())
}

fn write_descriptions(xml: &mut String, random: &mut Random) -> fmt::Result {
    let marketing = MARKETING.repeat(pick(random, &[1, 1, 2, 3]));
    let lines = [
        ("DES", "Disc Brake Pad Set"),
        ("SHO", "PADS"),
        ("EXT", pick(random, &DESCRIPTIONS)),
        ("MKT", marketing.trim_end()),
        ("FAB", pick(random, &FEATURES)),
        ("FAB", pick(random, &FEATURES)),
        ("KEY", "brake pads"),
    ];
    let wanted = random.random_range(2..=7);
    xml.push_str("      <Descriptions>\n");
    for (code, text) in lines.into_iter().take(wanted) {
        writeln!(
            xml,
            "        <Description MaintenanceType=\"A\" DescriptionCode=\"{code}\" LanguageCode=\"EN\">{}</Description>",
            Escaped(text)
        )?;
    }
    xml.push_str("      </Descriptions>\n");
    Ok(())
}

fn write_prices(xml: &mut String, random: &mut Random, edited: u32) -> fmt::Result {
    let date = Date(edited);
    xml.push_str("      <Prices>\n");
    for kind in ["JBR", "LST", "QOT"] {
        let price = Hundredths(random.random_range(1_000..12_000));
        write!(
            xml,
            r#"        <Pricing MaintenanceType="A" PriceType="{kind}">
          <PriceSheetNumber>2025WD</PriceSheetNumber>
          <CurrencyCode>USD</CurrencyCode>
          <EffectiveDate>{date}</EffectiveDate>
          <Price UOM="PE">{price}</Price>
        </Pricing>
"#
        )?;
    }
    xml.push_str("      </Prices>\n");
    Ok(())
}

fn write_attributes(xml: &mut String, random: &mut Random) -> fmt::Result {
    let thickness = Hundredths(random.random_range(40..80));
    let height = Hundredths(random.random_range(150..300));
    let width = Hundredths(random.random_range(400..800));
    xml.push_str("      <ProductAttributes>\n");
    for (id, value) in [
        (8472, thickness.to_string()),
        (8473, height.to_string()),
        (8474, width.to_string()),
        (8475, "Ceramic".to_owned()),
    ] {
        writeln!(
            xml,
            "        <ProductAttribute MaintenanceType=\"A\" AttributeID=\"{id}\" PADBAttribute=\"Y\" RecordNumber=\"1\" LanguageCode=\"EN\">{value}</ProductAttribute>"
        )?;
    }
    xml.push_str("      </ProductAttributes>\n");
    Ok(())
}

fn write_package(xml: &mut String, random: &mut Random, gtin: u64) -> fmt::Result {
    let weight = Hundredths(random.random_range(200..600));
    write!(
        xml,
        r#"      <Packages>
        <Package MaintenanceType="A">
          <PackageLevelGTIN>0{gtin:013}</PackageLevelGTIN>
          <PackageUOM>EA</PackageUOM>
          <QuantityofEaches>1</QuantityofEaches>
          <Dimensions UOM="IN">
            <MerchandisingHeight>3.1</MerchandisingHeight>
            <MerchandisingWidth>4.2</MerchandisingWidth>
            <MerchandisingLength>6.5</MerchandisingLength>
          </Dimensions>
          <Weights UOM="PG">
            <Weight>{weight}</Weight>
          </Weights>
        </Package>
      </Packages>
"#
    )
}

fn write_interchanges(xml: &mut String, random: &mut Random) -> fmt::Result {
    xml.push_str("      <PartInterchangeInfo>\n");
    for _ in 0..random.random_range(1..=7) {
        write!(
            xml,
            r#"        <PartInterchange MaintenanceType="A" BrandLabel="{}" LanguageCode="EN">
          <PartNumber>{}{}</PartNumber>
        </PartInterchange>
"#,
            Escaped(pick(random, &COMPETITORS)),
            pick(random, &["A", "B", "D", "F"]),
            random.random_range(10_000..10_000_000)
        )?;
    }
    xml.push_str("      </PartInterchangeInfo>\n");
    Ok(())
}

fn write_image(xml: &mut String, random: &mut Random, part: &Part) -> fmt::Result {
    // By index, since a part number may hold what a file name must not.
    let name = format!("EB{:06}_FRO.jpg", part.index);
    write!(
        xml,
        r#"      <DigitalAssets>
        <DigitalFileInformation MaintenanceType="A" LanguageCode="EN">
          <FileName>{name}</FileName>
          <AssetType>P04</AssetType>
          <FileType>JPG</FileType>
          <Representation>A</Representation>
          <FileSize>{}</FileSize>
          <Resolution>300</Resolution>
          <Background>WHI</Background>
          <OrientationView>FRO</OrientationView>
          <URI>https://assets.example.com/{name}?w=800&amp;h=600</URI>
        </DigitalFileInformation>
      </DigitalAssets>
"#,
        random.random_range(50..3_000)
    )
}

/// Brand and number of a part: a function of its index alone, so that every revision, seed and kind
/// of file speaks of the same parts.
struct Part {
    index: u32,
    brand: &'static str,
    number: String,
}

impl Part {
    fn new(index: u32) -> Self {
        let plain = |index: u32| format!("EB{}", u64::from(index) + 100_001);
        // A few in a thousand are awkward, as in real catalogues. The rests are out of each other's
        // way: 1009 and 211 are prime, and the first match decides.
        let (brand, number) = if index % 1009 == 500 {
            // The longest number the schema allows: 45 characters.
            (BRAND, format!("{:X<45}", plain(index)))
        } else if index % 211 == 100 {
            // The same number under two brands.
            (SECOND_BRAND, plain(index - 1))
        } else if index % 211 == 150 {
            (BRAND, format!("EB {}/4.5-{index}", index % 90))
        } else if index % 211 == 200 {
            (BRAND, format!("EB&{index} <R>"))
        } else {
            (BRAND, plain(index))
        };
        Self { index, brand, number }
    }
}

/// Text with the characters XML reserves written as entities; fits elements and attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number with two decimals, kept whole: no float means no rounding that could differ.
struct Hundredths(u32);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// The last day of the month that lies so many months after January 2025.
struct Date(u32);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let year = 2025 + self.0 / 12;
        let month = self.0 % 12 + 1;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let day = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// The stream of random numbers of one part (or item) in one month; month 0 is the base.
fn random_for(purpose: u64, seed: u64, index: u32, month: u32) -> Random {
    let place = (u64::from(index) << 32) | u64::from(month);
    Random::seed_from_u64(scramble(scramble(scramble(purpose) ^ seed) ^ place))
}

/// `SplitMix64`'s mixing step: neighbouring inputs become unrelated outputs, none of them equal.
const fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A log-normal number with mean 1 and spread [`SIGMA`].
fn log_normal(random: &mut Random) -> f64 {
    // Twelve uniform numbers add up to a near-normal one. `ln`, `cos` and `exp` of the standard
    // library may round differently on other platforms; sums and products never do.
    let normal: f64 = (0..12).fold(-6.0, |sum, _| sum + random.random::<f64>());
    exp(SIGMA * normal - SIGMA * SIGMA / 2.0)
}

/// e to the power of a `value` of moderate size.
fn exp(value: f64) -> f64 {
    // The series is exact enough for a 64th of the value, which is then squared six times.
    let part = value / 64.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for step in 1..12 {
        term *= part / f64::from(step);
        sum += term;
    }
    for _ in 0..6 {
        sum *= sum;
    }
    sum
}

/// One of `choices`, or the default for none at all.
fn pick<T: Copy + Default>(random: &mut Random, choices: &[T]) -> T {
    choices.choose(random).copied().unwrap_or_default()
}

/// With this probability a number from `low` to `high`.
fn maybe(random: &mut Random, probability: f64, low: u32, high: u32) -> Option<u32> {
    random.random_bool(probability).then(|| random.random_range(low..=high))
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn file(revision: u32) -> AcesFile {
        AcesFile { parts: 400, apps_per_part: 25.0, seed: 7, revision }
    }

    fn text(file: &AcesFile) -> String {
        String::from_utf8(file.to_bytes()).unwrap()
    }

    /// The applications without their running numbers, each with how often it occurs.
    fn apps(text: &str) -> HashMap<&str, usize> {
        let mut apps = HashMap::new();
        for app in text.split("<App action=\"A\" id=\"").skip(1) {
            let (_, body) = app.split_once('>').unwrap();
            let (body, _) = body.split_once("</App>").unwrap();
            *apps.entry(body).or_default() += 1;
        }
        apps
    }

    fn shared(one: &HashMap<&str, usize>, other: &HashMap<&str, usize>) -> usize {
        one.iter().map(|(body, count)| *count.min(other.get(body).unwrap_or(&0))).sum()
    }

    /// Every start tag has its end tag, and no reserved character stands outside a tag.
    fn assert_balanced(xml: &str) {
        let mut open = Vec::new();
        let mut rest = xml;
        while let Some((text, tail)) = rest.split_once('<') {
            assert!(!text.contains('>'), "{text}");
            for entity in text.split('&').skip(1) {
                assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)));
            }
            let (tag, tail) = tail.split_once('>').unwrap();
            rest = tail;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.starts_with('?') && !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
                assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            }
        }
        assert_eq!(rest.trim(), "");
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn equal_fields_give_equal_bytes() {
        assert_eq!(file(3).to_bytes(), file(3).to_bytes());
        assert_ne!(file(0).to_bytes(), AcesFile { seed: 8, ..file(0) }.to_bytes());
        assert_eq!(pies_items(50, 7, 3), pies_items(50, 7, 3));
        assert_ne!(pies_items(50, 7, 0), pies_items(50, 8, 0));
        // A larger sample starts with the smaller one.
        assert!(pies_items(60, 7, 3).starts_with(&pies_items(50, 7, 3)));
    }

    /// Guards "on every platform": a change here changes every sample.
    #[test]
    fn content_is_pinned() {
        let checksum = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| scramble(sum ^ u64::from(*byte)));
        assert_eq!(checksum(&file(2).to_bytes()), 16_705_526_740_562_629_259);
        let items: String = pies_items(50, 7, 20).into_iter().map(|item| item.key + &item.xml).collect();
        assert_eq!(checksum(items.as_bytes()), 16_710_997_640_351_410_389);
    }

    #[test]
    fn footer_counts_the_apps() {
        let mut bytes = Vec::new();
        let count = file(2).write_to(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with(&format!(
            "  <Footer>\n    <RecordCount>{count}</RecordCount>\n  </Footer>\n</ACES>\n"
        )));
        assert_eq!(text.matches("<App ").count(), usize::try_from(count).unwrap());
        assert!(text.contains(&format!("<App action=\"A\" id=\"{count}\">")));
        // 400 parts of 25 on average.
        assert!((8_000..12_500).contains(&count), "{count}");
    }

    #[test]
    fn files_are_well_formed_and_hold_the_awkward_cases() {
        let text = text(&AcesFile { parts: 600, ..file(1) });
        assert_balanced(&text);
        for awkward in
            ["前輪のみ", "&quot;B&quot;", "&lt; 9,900", "&amp; Larger", "BrandAAIAID=\"ZZZX\"", "&lt;R&gt;"]
        {
            assert!(text.contains(awkward), "{awkward}");
        }
        assert!(text.contains("<TransferDate>2025-02-28</TransferDate>"));
    }

    #[test]
    fn odd_sizes_are_files_too() {
        for (parts, apps_per_part, wanted) in
            [(0, 5.0, 0), (1, 0.0, 1), (1, -1.0, 1), (1, f64::NAN, 1), (3, 1e-9, 3)]
        {
            let file = AcesFile { parts, apps_per_part, seed: 0, revision: 0 };
            assert_balanced(&text(&file));
            assert_eq!(apps(&text(&file)).values().sum::<usize>(), wanted);
        }
    }

    #[test]
    fn revisions_share_most_apps() {
        let (old, new) = (text(&file(4)), text(&file(5)));
        let (old_apps, new_apps) = (apps(&old), apps(&new));
        let (before, after) = (old_apps.values().sum::<usize>(), new_apps.values().sum::<usize>());
        let kept = shared(&old_apps, &new_apps);
        // About 1 % edited, 0.5 % dropped, 1.5 % added.
        assert!((before * 97 / 100..before * 995 / 1000).contains(&kept), "{kept} of {before}");
        assert!((after - kept) * 1000 / after >= 10, "{kept} of {after}");
        assert!(after > before);
        // Months add up: two years later a good half is still there.
        let later = text(&file(24));
        let kept = shared(&old_apps, &apps(&later));
        assert!((before / 2..before * 9 / 10).contains(&kept), "{kept} of {before}");
    }

    #[test]
    fn items_are_well_formed_and_of_real_size() {
        let items = pies_items(3_000, 7, 2);
        for item in &items {
            assert_balanced(&item.xml);
            assert!((1_024..=6_144).contains(&item.xml.len()), "{}: {}", item.key, item.xml.len());
        }
        let keys: HashSet<&str> = items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(keys.len(), items.len());
        assert!(keys.contains("ZZZZ|ZZZY|EB100001"));
        assert!(keys.contains("ZZZX|ZZZY|EB100100") && keys.contains("ZZZZ|ZZZY|EB100100"));
        assert!(items.iter().any(|item| item.key.len() == 45 + 10));
    }

    #[test]
    fn about_one_item_in_a_hundred_changes_a_month() {
        let (old, new) = (pies_items(5_000, 7, 6), pies_items(5_000, 7, 7));
        let changed = old.iter().zip(&new).filter(|(one, other)| one != other).count();
        assert!((25..100).contains(&changed), "{changed}");
        assert!(old.iter().zip(&new).all(|(one, other)| one.key == other.key));
    }

    #[test]
    fn dates_move_by_months() {
        let dates = [0, 1, 37, 11, 12].map(|months| Date(months).to_string());
        assert_eq!(dates, ["2025-01-31", "2025-02-28", "2028-02-29", "2025-12-31", "2026-01-31"]);
    }

    #[test]
    fn the_mean_is_what_was_asked_for() {
        let mut random = random_for(0, 0, 0, 0);
        let sum: f64 = (0..20_000).map(|_| log_normal(&mut random)).sum();
        assert!((sum / 20_000.0 - 1.0).abs() < 0.03, "{sum}");
        assert!((exp(1.0) - std::f64::consts::E).abs() < 1e-12);
        assert!((exp(-5.0) - (-5.0_f64).exp()).abs() < 1e-12);
    }
}
