//! Decoding of a tree with serde, again and again, until every mistake is known. What is wrong is cut off, and for what is
//! missing something empty is put in.

mod mistake;

use super::Problem;
use super::node::{Entry, Kind, Node};
use mistake::{Missing, Mistake, hint};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::collections::BTreeSet;

/// What could be decoded, and everything that is wrong.
pub(super) struct Decoded<T> {
    /// The value without what is wrong; none when nothing of it could be made.
    pub(super) value: Option<T>,
    /// What the value was made from.
    pub(super) tree: Node,
    pub(super) problems: Vec<Problem>,
    /// The keys of the outermost map that a mistake is at or below.
    pub(super) wrong: BTreeSet<String>,
}

/// Decodes a value as far as that goes.
pub(super) fn decode<T: DeserializeOwned>(mut tree: Node) -> Decoded<T> {
    let mut problems = Vec::new();
    let mut wrong = BTreeSet::new();
    loop {
        let value = match T::deserialize(Located(&tree)) {
            Ok(value) => Some(value),
            Err(mistake) => {
                wrong.extend(outermost(&tree, &mistake));
                problems.extend(mistake.problem(&tree));
                // Each round puts a key in, once for each name, or cuts a node off, so this ends.
                if fill(&mut tree, &mistake) || cut(&mut tree, &mistake.path) {
                    continue;
                }
                None
            }
        };
        return Decoded {
            value,
            tree,
            problems,
            wrong,
        };
    }
}

/// The key of the outermost map that a mistake is at or below.
fn outermost(tree: &Node, mistake: &Mistake) -> Option<String> {
    match (mistake.path.first(), &mistake.missing, &tree.kind) {
        (Some(index), _, Kind::Map(entries)) => entries.get(*index).map(|entry| entry.key.clone()),
        (None, Missing::Field(field), _) => Some((*field).to_owned()),
        _ => None,
    }
}

/// Puts a missing key in; false when that is not what is wrong, or was done before.
fn fill(tree: &mut Node, mistake: &Mistake) -> bool {
    let Missing::Field(field) = mistake.missing else {
        return false;
    };
    let Some(node) = at(tree, &mistake.path) else {
        return false;
    };
    let (line, column) = (node.line, node.column);
    match &mut node.kind {
        Kind::Map(entries) if !node.filled.contains(&field) => {
            node.filled.push(field);
            entries.push(Entry {
                line,
                column,
                key: field.to_owned(),
                value: Node {
                    line,
                    column,
                    kind: Kind::Missing,
                    cut: Vec::new(),
                    filled: Vec::new(),
                },
            });
            true
        }
        _ => false,
    }
}

/// The node that `path` (indices of children) leads to.
fn at<'t>(tree: &'t mut Node, path: &[usize]) -> Option<&'t mut Node> {
    path.iter()
        .try_fold(tree, |node, index| match &mut node.kind {
            Kind::List(nodes) => nodes.get_mut(*index),
            Kind::Map(entries) => entries.get_mut(*index).map(|entry| &mut entry.value),
            _ => None,
        })
}

/// Cuts the part that `path` (indices of children) leads to off; false when that would be the whole tree.
fn cut(tree: &mut Node, path: &[usize]) -> bool {
    let Some((last, way)) = path.split_last() else {
        return false;
    };
    let Some(node) = at(tree, way) else {
        return false;
    };
    match &mut node.kind {
        Kind::List(nodes) if *last < nodes.len() => drop(nodes.remove(*last)),
        Kind::Map(entries) if *last < entries.len() => {
            let entry = entries.remove(*last);
            node.cut.push(entry.key);
        }
        _ => return false,
    }
    true
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.kind {
            Kind::Null | Kind::Missing => Unexpected::Unit,
            Kind::Bool(value) => Unexpected::Bool(*value),
            Kind::Integer(value) => Unexpected::Signed(*value),
            Kind::Unsigned(value) => Unexpected::Unsigned(*value),
            Kind::Float(value) => Unexpected::Float(*value),
            Kind::Text(value) => Unexpected::Str(value),
            Kind::List(_) => Unexpected::Seq,
            Kind::Map(_) => Unexpected::Map,
        }
    }
}

/// A node as serde's source of data; its own type, so that the mistakes stay in this module.
#[derive(Clone, Copy)]
struct Located<'de>(&'de Node);

impl<'de> Deserializer<'de> for Located<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.kind {
            Kind::Null | Kind::Missing => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Integer(value) => visitor.visit_i64(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(value) => visitor.visit_borrowed_str(value),
            Kind::List(nodes) => visitor.visit_seq(Elements { nodes, index: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries, index: 0 }),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.kind {
            Kind::Bool(_) | Kind::Integer(_) | Kind::Unsigned(_) | Kind::Float(_) => Err(Mistake {
                hint: Some("put it in quotes".to_owned()),
                ..Mistake::invalid_type(self.0.unexpected(), &"text")
            }),
            Kind::Text(_) => self.deserialize_any(visitor),
            Kind::Missing => visitor.visit_str(""),
            _ => Err(Mistake::invalid_type(self.0.unexpected(), &"text")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.kind {
            Kind::Missing => visitor.visit_seq(Elements {
                nodes: &[],
                index: 0,
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.0.kind {
            Kind::Missing => visitor.visit_u32(1),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.0.kind {
            Kind::Text(word) => visitor.visit_enum(Variant {
                word,
                content: None,
                inside: false,
            }),
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant {
                    word: &entry.key,
                    content: Some(&entry.value),
                    inside: true,
                }),
                // Its only entry was cut off.
                [] if !self.0.cut.is_empty() => Err(Mistake {
                    missing: Missing::Everything,
                    ..Mistake::custom("nothing is left")
                }),
                _ => Err(Mistake {
                    hint: Some(format!("known here: {}", variants.join(", "))),
                    ..Mistake::custom(format!("one key expected, found {}", entries.len()))
                }),
            },
            _ => Err(Mistake {
                hint: hint("", variants),
                ..Mistake::invalid_type(self.0.unexpected(), &"a word or a map with one key")
            }),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char
        bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Elements<'de> {
    nodes: &'de [Node],
    index: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let Some(node) = self.nodes.get(self.index) else {
            return Ok(None);
        };
        self.index += 1;
        seed.deserialize(Located(node))
            .map(Some)
            .map_err(|mistake| mistake.below(self.index - 1))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    index: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let Some(entry) = self.entries.get(self.index) else {
            return Ok(None);
        };
        seed.deserialize(entry.key.as_str().into_deserializer())
            .map(Some)
            .map_err(|mistake: Mistake| Mistake {
                at_key: true,
                ..mistake.below(self.index)
            })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let entry = self
            .entries
            .get(self.index)
            .ok_or_else(|| Mistake::custom("a value without a key"))?;
        self.index += 1;
        seed.deserialize(Located(&entry.value))
            .map_err(|mistake| mistake.below(self.index - 1))
    }
}

struct Variant<'de> {
    word: &'de str,
    content: Option<&'de Node>,
    /// The content is a child of the node, not the node itself.
    inside: bool,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mistake> {
        let value =
            seed.deserialize(self.word.into_deserializer())
                .map_err(|mistake: Mistake| {
                    if self.inside {
                        Mistake {
                            at_key: true,
                            ..mistake.below(0)
                        }
                    } else {
                        mistake
                    }
                })?;
        Ok((value, self))
    }
}

impl<'de> Variant<'de> {
    fn content(&self) -> Result<&'de Node, Mistake> {
        self.content.ok_or_else(|| Mistake {
            hint: Some(format!("write `{}:` and what belongs to it", self.word)),
            ..Mistake::custom(format!("`{}` needs a value", self.word))
        })
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content.map(|node| &node.kind) {
            None | Some(Kind::Null) => Ok(()),
            Some(_) => Err(Mistake::custom(format!("`{}` takes no value", self.word)).below(0)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        seed.deserialize(Located(self.content()?))
            .map_err(|mistake| mistake.below(0))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        Located(self.content()?)
            .deserialize_any(visitor)
            .map_err(|mistake| mistake.below(0))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let content = self.content()?;
        match &content.kind {
            Kind::Map(_) => Located(content).deserialize_any(visitor),
            _ => Err(Mistake::invalid_type(content.unexpected(), &visitor)),
        }
        .map_err(|mistake| mistake.below(0))
    }
}
