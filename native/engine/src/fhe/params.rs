//! The two parameter sets, and the shape of the secret keys under each. Numbers: tfhe.md §2.

use tfhe::Config;
use tfhe::core_crypto::prelude::{
    CiphertextModulus, CiphertextModulusLog, DecompositionBaseLog, DecompositionLevelCount, DynamicDistribution,
    GlweDimension, LweCiphertextCount, LweDimension, NormalizedHammingWeightBound, PolynomialSize, Variance,
};
use tfhe::core_crypto::prelude::{NoiseEstimationMeasureBound, RSigmaFactor};
use tfhe::shortint::parameters::list_compression::{ClassicCompressionParameters, CompressionParameters};
use tfhe::shortint::parameters::meta::{
    DedicatedCompactPublicKeyParameters, MetaParameters, ReRandomizationConfiguration,
};
use tfhe::shortint::parameters::v1_7::meta::cpu::V1_7_META_PARAM_CPU_2_2_KS_PBS_PKE_TO_SMALL_ZKV2_TUNIFORM_2M128;
use tfhe::shortint::parameters::{
    Backend, CompactCiphertextListExpansionKind, CompactPublicKeyEncryptionParameters, MetaNoiseSquashingParameters,
    ModulusSwitchNoiseReductionParams, ModulusSwitchType, NoiseSquashingClassicParameters,
    NoiseSquashingCompressionParameters, NoiseSquashingParameters, ShortintKeySwitchingParameters,
    SupportedCompactPkeZkScheme,
};
use tfhe::shortint::{
    AtomicPatternParameters, CarryModulus, ClassicPBSParameters, EncryptionKeyChoice, MaxNoiseLevel, MessageModulus,
    PBSParameters,
};

use crate::errors::{EngineError, Result};

/// Which parameter set a key has. The numbers are part of the private object's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Params {
    /// Production (`FheParameter::Default`).
    Default = 0,
    /// Tiny and insecure (`FheParameter::Test`).
    Test = 1,
}

/// Sizes that a ciphertext under a key must have.
pub struct Shape {
    /// Dimension of the key of an expanded small ciphertext.
    pub big: usize,
    /// Packed small ciphertexts: GLWE dimension, polynomial size, samples a GLWE, bits a coefficient.
    pub compression: Packing,
    /// Dimension of the key of an expanded squashed ciphertext.
    pub squash: usize,
    /// Packed squashed ciphertexts.
    pub squash_compression: Packing,
}

/// How samples are packed into a GLWE ciphertext.
pub struct Packing {
    pub glwe_dimension: usize,
    pub polynomial_size: usize,
    pub lwe_per_glwe: usize,
    pub stored_bits: usize,
}

impl Packing {
    pub fn key_size(&self) -> usize {
        self.glwe_dimension * self.polynomial_size
    }
}

const DEFAULT_SHAPE: Shape = Shape {
    big: 2048,
    compression: Packing { glwe_dimension: 4, polynomial_size: 256, lwe_per_glwe: 256, stored_bits: 12 },
    squash: 4096,
    squash_compression: Packing { glwe_dimension: 6, polynomial_size: 1024, lwe_per_glwe: 128, stored_bits: 128 },
};

const TEST_SHAPE: Shape = Shape {
    big: 256,
    compression: Packing { glwe_dimension: 1, polynomial_size: 256, lwe_per_glwe: 256, stored_bits: 9 },
    squash: 256,
    squash_compression: Packing { glwe_dimension: 1, polynomial_size: 256, lwe_per_glwe: 128, stored_bits: 128 },
};

impl Params {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "default" => Ok(Self::Default),
            "test" => Ok(Self::Test),
            _ => Err(EngineError::request("parameters are 'default' or 'test'")),
        }
    }

    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Self::Default),
            1 => Ok(Self::Test),
            _ => Err(EngineError::key(format!("unknown parameter set number {number}"))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Test => "test",
        }
    }

    pub fn config(self) -> Config {
        match self {
            Self::Default => V1_7_META_PARAM_CPU_2_2_KS_PBS_PKE_TO_SMALL_ZKV2_TUNIFORM_2M128.into(),
            Self::Test => test_parameters().into(),
        }
    }

    pub fn shape(self) -> &'static Shape {
        match self {
            Self::Default => &DEFAULT_SHAPE,
            Self::Test => &TEST_SHAPE,
        }
    }

    /// Bound on the share of ones in a secret key. The test set's one-bit LWE key admits no bound.
    pub fn hamming_bound(self) -> NormalizedHammingWeightBound {
        let share = match self {
            Self::Default => 0.8,
            Self::Test => 1.0,
        };
        NormalizedHammingWeightBound::new(share).expect("a constant in range")
    }
}

/// `PARAMS_TEST_BK_SNS`, which the crate does not have: tiny, insecure, of the same shape as the production set.
fn test_parameters() -> MetaParameters {
    let message_modulus = MessageModulus(4);
    let carry_modulus = CarryModulus(4);
    let exact = DynamicDistribution::new_t_uniform(0);
    let compute = ClassicPBSParameters {
        lwe_dimension: LweDimension(1),
        glwe_dimension: GlweDimension(1),
        polynomial_size: PolynomialSize(256),
        lwe_noise_distribution: exact,
        glwe_noise_distribution: exact,
        pbs_base_log: DecompositionBaseLog(24),
        pbs_level: DecompositionLevelCount(1),
        ks_base_log: DecompositionBaseLog(37),
        ks_level: DecompositionLevelCount(1),
        message_modulus,
        carry_modulus,
        max_noise_level: MaxNoiseLevel::new(5),
        log2_p_fail: -64.0,
        ciphertext_modulus: CiphertextModulus::new_native(),
        encryption_key_choice: EncryptionKeyChoice::Big,
        modulus_switch_noise_reduction_params: ModulusSwitchType::DriftTechniqueNoiseReduction(
            ModulusSwitchNoiseReductionParams {
                modulus_switch_zeros_count: LweCiphertextCount(10),
                ms_bound: NoiseEstimationMeasureBound(288_230_376_151_711_744.0),
                ms_r_sigma_factor: RSigmaFactor(9.755_393_200_764_16),
                ms_input_variance: Variance(1.926_313_907_165_19e-10),
            },
        ),
    };
    let public_key = CompactPublicKeyEncryptionParameters {
        encryption_lwe_dimension: LweDimension(512),
        encryption_noise_distribution: exact,
        message_modulus,
        carry_modulus,
        ciphertext_modulus: CiphertextModulus::new_native(),
        expansion_kind: CompactCiphertextListExpansionKind::RequiresCasting,
        zk_scheme: SupportedCompactPkeZkScheme::V2,
    };
    let squash = NoiseSquashingClassicParameters {
        glwe_dimension: GlweDimension(1),
        polynomial_size: PolynomialSize(256),
        glwe_noise_distribution: DynamicDistribution::new_t_uniform(0),
        decomp_base_log: DecompositionBaseLog(33),
        decomp_level_count: DecompositionLevelCount(2),
        modulus_switch_noise_reduction_params: ModulusSwitchType::DriftTechniqueNoiseReduction(
            ModulusSwitchNoiseReductionParams {
                modulus_switch_zeros_count: LweCiphertextCount(8),
                ms_bound: NoiseEstimationMeasureBound(288_230_376_151_711_744.0),
                ms_r_sigma_factor: RSigmaFactor(9.2),
                ms_input_variance: Variance(2.182_718_682_903_484e-224),
            },
        ),
        message_modulus,
        carry_modulus,
        ciphertext_modulus: CiphertextModulus::new_native(),
    };
    MetaParameters {
        backend: Backend::Cpu,
        compute_parameters: AtomicPatternParameters::Standard(PBSParameters::PBS(compute)),
        dedicated_compact_public_key_parameters: Some(DedicatedCompactPublicKeyParameters {
            pke_params: public_key,
            ksk_params: ShortintKeySwitchingParameters {
                ks_level: DecompositionLevelCount(1),
                ks_base_log: DecompositionBaseLog(37),
                destination_key: EncryptionKeyChoice::Small,
            },
            re_randomization_parameters: None,
        }),
        compression_parameters: Some(CompressionParameters::Classic(ClassicCompressionParameters {
            br_level: DecompositionLevelCount(1),
            br_base_log: DecompositionBaseLog(24),
            packing_ks_level: DecompositionLevelCount(1),
            packing_ks_base_log: DecompositionBaseLog(27),
            packing_ks_polynomial_size: PolynomialSize(256),
            packing_ks_glwe_dimension: GlweDimension(1),
            lwe_per_glwe: LweCiphertextCount(256),
            storage_log_modulus: CiphertextModulusLog(9),
            packing_ks_key_noise_distribution: exact,
        })),
        noise_squashing_parameters: Some(MetaNoiseSquashingParameters {
            parameters: NoiseSquashingParameters::Classic(squash),
            compression_parameters: Some(NoiseSquashingCompressionParameters {
                packing_ks_level: DecompositionLevelCount(1),
                packing_ks_base_log: DecompositionBaseLog(61),
                packing_ks_polynomial_size: PolynomialSize(256),
                packing_ks_glwe_dimension: GlweDimension(1),
                lwe_per_glwe: LweCiphertextCount(128),
                packing_ks_key_noise_distribution: DynamicDistribution::new_t_uniform(3),
                message_modulus,
                carry_modulus,
                ciphertext_modulus: CiphertextModulus::new_native(),
            }),
        }),
        rerand_configuration: Some(ReRandomizationConfiguration::DerivedCompactPublicKeyWithoutKeySwitch),
    }
}
