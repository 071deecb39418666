"""How graph.instagram.com says what graph.facebook.com says: another type, no code in the text, other languages."""

import re
from collections.abc import Mapping
from dataclasses import replace

from simulator.graph.errors import REDUCE_DATA, UNKNOWN_ERROR, GraphError

TYPE = "IGApiException"
CODE = re.compile(r"^\(#-?\d+\) ")

Words = Mapping[str, str]  # by language; {0} is the first thing that the English text names

PHRASES: tuple[tuple[str, Words], ...] = (
    (
        r"Invalid OAuth access token - Cannot parse access token",
        {
            "ja": "OAuthアクセストークンが無効です - アクセストークンを解析できません",
            "pt": "Token de acesso OAuth inválido: não é possível analisar o token de acesso",
            "fr": "Token d'accès OAuth non valide : impossible d'analyser le token d'accès",
        },
    ),
    (
        r"Error validating access token: Session has expired on (.+)",
        {
            "ja": "アクセストークンの検証エラー: セッションの有効期限が{0}に切れました",
            "pt": "Erro ao validar o token de acesso: a sessão expirou em {0}",
            "fr": "Erreur de validation du token d'accès : la session a expiré le {0}",
        },
    ),
    (
        r"(\S+) must be one of the following values: (.+)",
        {
            "ja": "{0}は次のいずれかの値でなければなりません: {1}",
            "pt": "{0} deve ser um dos seguintes valores: {1}",
            "fr": "{0} doit être l'une des valeurs suivantes : {1}",
        },
    ),
    (
        r"The Media Insights API does not support the (.+) metrics? for this media product type\.",
        {
            "ja": "メディアインサイトAPIは、このメディア製品タイプの{0}指標をサポートしていません。",
            "pt": "A API de Insights de Mídia não oferece suporte à métrica {0} para este tipo de produto de mídia.",
            "fr": "L'API Media Insights ne prend pas en charge la métrique {0} pour ce type de média.",
        },
    ),
    (
        r"The following metrics \((.+)\) should be specified with parameter metric_type=(\w+)",
        {
            "ja": "次の指標({0})はパラメーターmetric_type={1}と共に指定する必要があります",
            "pt": "As seguintes métricas ({0}) devem ser especificadas com o parâmetro metric_type={1}",
            "fr": "Les métriques suivantes ({0}) doivent être spécifiées avec le paramètre metric_type={1}",
        },
    ),
    (
        r"Not enough viewers for the media to show insights",
        {
            "ja": "閲覧者が少ないため、このメディアのインサイトを表示できません",
            "pt": "Não há visualizadores suficientes para que a mídia mostre insights",
            "fr": "Pas assez de spectateurs pour afficher les statistiques de ce contenu",
        },
    ),
    (
        r"Invalid parameter",
        {"ja": "無効なパラメーター", "pt": "Parâmetro inválido", "fr": "Paramètre non valide"},
    ),
    (
        r"Application does not have permission for this action",
        {
            "ja": "アプリにはこのアクションを行う許可がありません",
            "pt": "O aplicativo não tem permissão para esta ação",
            "fr": "L'application n'est pas autorisée à effectuer cette action",
        },
    ),
    (
        r"Unsupported (\w+) request\. Object with ID '(.+)' does not exist, .+",
        {
            "ja": "サポートされていない{0}リクエスト。ID「{1}」のオブジェクトは存在しません。",
            "pt": "Solicitação {0} sem suporte. O objeto com a ID '{1}' não existe.",
            "fr": "Requête {0} non prise en charge. L'objet avec l'ID « {1} » n'existe pas.",
        },
    ),
    (
        r"Application request limit reached",
        {
            "ja": "アプリのリクエスト数の上限に達しました",
            "pt": "O limite de solicitações do aplicativo foi atingido",
            "fr": "La limite de requêtes de l'application est atteinte",
        },
    ),
    (
        r"There have been too many calls to this Instagram account\. .+",
        {
            "ja": "このInstagramアカウントへの呼び出しが多すぎます。しばらくしてからもう一度お試しください。",
            "pt": "Houve chamadas demais para esta conta do Instagram. Espere um pouco e tente novamente.",
            "fr": "Trop d'appels ont été effectués vers ce compte Instagram. Patientez puis réessayez.",
        },
    ),
    (
        re.escape(UNKNOWN_ERROR),
        {
            "ja": "不明なエラーが発生しました。",
            "pt": "Ocorreu um erro desconhecido.",
            "fr": "Une erreur inconnue s'est produite.",
        },
    ),
    (
        re.escape(REDUCE_DATA),
        {
            "ja": "リクエストするデータの量を減らしてから、もう一度お試しください",
            "pt": "Reduza a quantidade de dados solicitados e tente novamente",
            "fr": "Réduisez la quantité de données demandées, puis réessayez",
        },
    ),
    (
        r"Media posted before business account conversion",
        {
            "ja": "ビジネスアカウントへの切り替え前に投稿されたメディア",
            "pt": "Mídia publicada antes da conversão para conta comercial",
            "fr": "Contenu publié avant la conversion en compte professionnel",
        },
    ),
)


def in_instagrams_words(error: GraphError, locale: str) -> GraphError:
    """Return a refusal as an Instagram login gets it; codes and subcodes are the same."""
    return replace(
        error,
        type=TYPE,
        message=_translated(CODE.sub("", error.message), locale),
        title=error.title and _translated(error.title, locale),
    )


def _translated(text: str, locale: str) -> str:
    for pattern, words in PHRASES:
        if locale in words and (match := re.fullmatch(pattern, text, re.DOTALL)):
            return words[locale].format(*match.groups())
    return text
