//! Words that tell of nobody: what every team writes. All others may be somebody's until they were said to two.

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

/// English words, in lower case, without endings that [`is_common_word`] takes off.
const ENGLISH: &str = "\
a able about above accept access accord account accurate across act action active activate actual add additional address \
adjust advance advice advise affect after again against age agent ago agree ahead all allow almost alone along already also \
alternative although always am amount an and another answer any anybody anyone anything anyway anywhere apart apologise \
apologize apology app appear application apply appointment appreciate appropriate approve are area aren around arrange \
arrive article as ask assist assistance associate assure at ate atm attach attempt attention authorise authorize \
automatic available average avoid await aware away back balance bank bar base basic basket be because become been before \
begin behind being believe belong below benefit best better between big bill billing bit block body book both bottom box \
branch brand break bring browser bug business busy but button buy by cache call came can cancel cancellation cannot card \
care carrier carry cart case cash cashback catch category cause cent certain certificate chance change charge charger \
chargeback chat cheap check checkout cheer cheque choice choose circumstance claim clean clear click close code collect \
colour color come comfort comment common communicate company compare compensation complain complaint complete complex \
concern condition confirm confirmation connect connection consider contact contactless contain content continue contract \
control convenience convenient convert cookie copy correct cost could couldn count country coupon couple courier course \
cover create credit cross currency current currently customer customise cut cvv daily damage dark data date day deal debit \
decide decline deduct deep default defective definite delay delete deliver delivery deny department depend deposit \
describe description desk despite detail detect device did didn differ difference different difficult difficulty digit \
digital direct direction disable disappoint discount discover discuss dispatch display dispute do document does doesn \
don done door double doubt down download draft drive drop due duplicate during each earlier early easy edit effect effort \
either electronic eligible else email emergency empty enable enclose encounter encourage end enjoy enough enquire enquiry \
ensure enter entire entry envelope equal error especially essential estimate even event ever every everyone everything \
exact examine example exceed excellent except exchange exclude excuse existing exist expect expedite expense expensive \
experience expire explain explanation express extend extra face facility fact factory fail failure fair false family far \
fast fault faulty feature fee feedback feel few fiat field figure file fill final finance find fine finger finish firm \
firmware first fit five fix flag flat flow folder follow for forget form format forward found four fraction fraud free \
frequent fresh friend friendly from front frustrate full function fund further future gap gave general generate get gift \
give given glad go goes going gone good goods got grant great ground group grow guarantee guess guest guide had half hand \
handle happen happy hard hardware has hasn have haven having he head headphone headphones health hear heard heat heavy \
height held hello help helpful her here hesitate hey hi high hint his history hold holiday home hope hour house how \
however hundred i iban icon id idea identity if ignore image immediate immediately important impossible improve in \
inactive inbox include income inconvenience incorrect increase indeed indicate individual inform information initial \
initiate inside insist install instance instant instead instruct instruction insurance intend interest internal \
international internet into introduce invalid investigate invite invoice involve is isn issue it item its itself job join \
just keep kept key keyboard kind kindly know known lack large last late later latest launch lead learn least leave left \
length less let letter level life light like limit line link list listen little live load loan local locate location lock \
log login logistics long longer look lose lost lot lots low lower made mail mailbox main maintain make man manage manager \
manual many map market match matter maximum may maybe me mean meant measure meet member membership memory mention menu \
merchant message met method middle might mile mind minimum minor minute miss missing mistake mobile mode model modify \
moment money month more morning most mostly move much multiple must my myself name national near nearly necessary need \
negative neither network never new next nice night no nobody none nor normal not note nothing notice notification notify \
now number obtain obvious occasion occur of off offer office official offline often oh ok okay old on once one online only \
onto open operate operation opinion opportunity option or order original other otherwise ought our ourselves out outside \
outstanding over overdraft overnight overview own owner pack package page pair paper parcel part partial particular \
partner party pass passcode passport password past patience patient pattern pause pay payable payee payment payout pending \
people per percent perfect perform perhaps period permanent permission permit person personal phone photo pick picture \
piece pin place plan platform play please pleasure plenty plug plus point policy poor popular portal position positive \
possible post postal postcode postpone power practice precise prefer premium prepare present press pretty prevent previous \
price print prior priority privacy private probable problem procedure proceed process produce product profile program \
programme progress promise promo promotion prompt proof proper protect prove provide provider public purchase purpose push \
put qualify quality quantity query question queue quick quickly quiet quite quote raise range rapid rate rather re reach \
read ready real realise reason reboot receipt receive recent recheck recipient recognise recommend record recover recovery \
recur reduce refer reference refill refresh refund refuse regard region register registration regret regular regulation \
reinstall reject relate release relevant reload rely remain remember remind reminder remote remove renew rent repair repeat \
replace replacement reply report represent representative request require resend reserve reset resolve respect respective \
respond response responsible rest restart restore restrict result resume retain retrieve retry return reverse review reward \
right ring risk room router rule run safe safety said sale same sample satisfy save saving say scan schedule scheme screen \
screenshot scroll search second secret section secure security see seem seen select self sell send sender sense sent \
separate sequence serial serious serve server service session set setting settle setup seven several shall shape share she \
shelf ship shipment shipping shop short shortly should shouldn show shut side sign signal signature similar simple simply \
since sincere sincerely single site situation six size slight slow small so sold solution solve some somebody someone \
something sometimes somewhere soon sorry sort sound source space speak special specialist specific specify speed spend \
split spoke staff stage stand standard start state statement status stay step stick still stock stolen stop store story \
straight strange street strong stuck subject submit subscribe subscription substitute success successful such sudden \
suffer sufficient suggest suggestion suit summary supply support suppose sure surname swap switch symbol system t tab table \
tablet take taken talk tap task tax team technical technician tell temporary ten term terminal terms test text than thank \
thanks that the their them themselves then there therefore these they thing think third this those though thought thousand \
three through throughout thus ticket till time tip tired title to today together told tomorrow tonight too took tool top \
topup total touch toward track tracker tracking trade transaction transfer transit travel treat trial tried trigger trip \
trouble true trust try turn twice two type unable unavailable under understand understood unexpected unfortunate \
unfortunately unit unknown unless unlikely unlock unsubscribe until unusual up upcoming update upgrade upload upon urgent \
us usage use used useful user username usual usually valid validate validation value van variant variety various ve \
verification verify version very via video view virtual visa visible visit voice volume voucher wait waiting wallet want \
warehouse warn warranty was wasn watch way we weak web website week weekday weekend weight welcome well went were weren \
what whatever when whenever where whether which while white who whole whom whose why wide will willing wire wish with \
withdraw withdrawal withdrawn within without woman won word work workday working world worry worse worst worth would \
wouldn write written wrong wrote yeah year yes yesterday yet you your yours yourself zero zip zone \
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october \
november december evening afternoon dear customer madam sir mr mrs ms dr faq sms pdf usb wifi tv eu uk usa gbp eur usd \
ll d s m aren couldn hadn mustn needn plus eight nine dozen";

/// Chinese words; the longest one that fits is taken.
const CHINESE: &str = "\
的 了 是 在 我 你 您 他 她 它 们 这 那 有 没 不 也 都 就 和 与 或 吗 呢 吧 啊 哦 嗯 请 把 被 给 对 从 到 会 能 要 可 以 为 很 还 再 已 将 于 上 下 中 \
里 外 个 天 日 月 年 元 件 次 号 时 分 秒 点 些 每 各 另 又 只 才 更 最 太 前 后 内 间 来 去 做 用 让 使 收 发 寄 退 换 买 卖 付 款 钱 卡 单 货 快 慢 \
新 旧 好 坏 多 少 大 小 一 二 两 三 四 五 六 七 八 九 十 百 千 万 第 几 什么 怎么 怎样 如何 为什么 哪里 哪个 哪些 何时 多久 多少 是否 我们 你们 您的 我的 \
你的 他们 咱们 自己 大家 您好 你好 谢谢 感谢 多谢 抱歉 对不起 不好意思 非常 十分 可以 可能 需要 应该 必须 能够 不能 无法 没有 还没 还没有 尚未 已经 \
正在 马上 立即 立刻 尽快 稍后 稍等 请稍等 耐心 等待 等候 之后 之前 以后 以前 以内 内 左右 现在 目前 今天 明天 昨天 后天 上午 下午 晚上 早上 中午 周末 \
工作日 个工作日 小时 分钟 星期 周 周一 周二 周三 周四 周五 周六 周日 时间 日期 订单 订单号 单号 快递 快递单号 物流 物流信息 物流公司 包裹 发货 收货 到货 \
送货 配送 派送 签收 仓库 地址 收货地址 退款 退货 换货 退换货 退回 返还 到账 原路 支付 付款 支付方式 扣款 扣费 费用 金额 余额 充值 提现 转账 转帐 银行 \
银行卡 信用卡 账户 帐户 账号 帐号 账单 发票 电子发票 税号 抬头 优惠 优惠券 折扣 价格 活动 积分 会员 密码 登录 登陆 注册 注销 验证 验证码 重置 重新 \
修改 更改 更换 更新 设置 绑定 解绑 激活 冻结 解冻 挂失 补办 丢失 丢了 丢 遗失 被盗 安全 手机 手机号 电话 短信 邮件 邮箱 微信 支付宝 客服 人工 人工客服 \
专员 同事 团队 部门 公司 商家 店铺 商品 产品 质量 问题 故障 错误 原因 情况 处理 解决 核实 核对 确认 查询 查看 查一下 检查 联系 咨询 反馈 建议 投诉 \
申请 提交 审核 通过 拒绝 取消 成功 失败 完成 办理 操作 步骤 点击 选择 输入 打开 关闭 下载 安装 卸载 重启 页面 网站 官网 链接 应用 软件 系统 版本 功能 \
服务 帮助 帮您 帮你 为您 给您 告知 通知 提供 提醒 回复 说明 信息 资料 图片 照片 截图 凭证 证件 身份 身份证 姓名 名字 号码 数量 尺寸 颜色 型号 库存 \
缺货 预售 保修 维修 更多 其他 其它 所有 全部 部分 一个 一下 一些 一次 这个 那个 这里 那里 这样 如果 因为 所以 但是 不过 然后 并且 以及 或者 而且 关于 \
根据 按照 由于 对于 通过 直接 自动 正常 一般 通常 大概 大约 最近 近期 延迟 延误 高峰 期间 影响 带来 不便 敬请 谅解 理解 希望 祝您 生活 愉快 欢迎 随时 \
再次 再试 试试 尝试 建议您 请您 麻烦 麻烦您 请问 放心 不用 不要 不会 不是 不行 不到 不了 收到 看到 找到 知道 明白 了解 清楚 觉得 想要 想 打算 准备 继续 \
开始 结束 支持 免费 收费 运费 邮费 手续费 国内 国外 海外 国际 本地 门店 线上 线下 方式 方法 渠道 途径 限制 额度 上限 权限 规则 政策 条款 协议 隐私 个人 \
用户 客户 顾客 亲 亲爱的 尊敬的 先生 女士 小姐 请求 要求 满意 评价 体验 优先 加急 催 催促 安排 预计 估计 到达 抵达 送达 运输 途中 路上 过来 回来 出来 \
起来 下来 上去 一直 总是 经常 有时 从来 仍然 仍 依然 其中 此 该 本 贵 请勿 切勿 务必 及时 详细 具体 相关 对应 有效 无效 过期 到期 有效期 期限 截止 生效 \
失效 恢复 停止 暂停 暂时 永久 临时 长期 短期 尽量 最多 最少 至少 超过 不足 以上 以下 之间 旁边 左上角 右上角 首页 我的订单 个人中心 客服中心 帮助中心";

/// Words of the list above that are names, too: with a capital they may be somebody's.
const NAMES: [&str; 20] = [
    "april",
    "august",
    "bill",
    "christian",
    "faith",
    "frank",
    "grace",
    "grant",
    "hope",
    "joy",
    "june",
    "mark",
    "may",
    "page",
    "rose",
    "visa",
    "wade",
    "ward",
    "will",
    "young",
];

static WORDS: LazyLock<FxHashSet<&str>> = LazyLock::new(|| ENGLISH.split_whitespace().collect());
static DENSE: LazyLock<FxHashSet<&str>> = LazyLock::new(|| CHINESE.split_whitespace().collect());

/// Characters of the longest Chinese word in the list.
const DENSE_CHARS_MAX: usize = 4;

/// Whether a word is one that everybody writes, in any case and with English endings.
pub(in crate::learn) fn is_common_word(word: &str) -> bool {
    let word = word.to_lowercase();
    let has = |word: &str| WORDS.contains(word);
    if has(&word) {
        return true;
    }
    let stem = |ending: &str| word.strip_suffix(ending).filter(|stem| stem.len() > 1);
    let doubled = |stem: &str| {
        let mut letters = stem.chars().rev();
        letters.next() == letters.next() && stem.get(..stem.len() - 1).is_some_and(has)
    };
    stem("s").is_some_and(has)
        || stem("es").is_some_and(has)
        || stem("ies").is_some_and(|stem| has(&format!("{stem}y")))
        || stem("ied").is_some_and(|stem| has(&format!("{stem}y")))
        || ["ed", "ing", "er"]
            .iter()
            .filter_map(|ending| stem(ending))
            .any(|stem| has(stem) || has(&format!("{stem}e")) || (stem.is_ascii() && doubled(stem)))
        || stem("ly").is_some_and(|stem| has(stem) || has(&format!("{stem}le")))
        || stem("ation").is_some_and(|stem| has(stem) || has(&format!("{stem}e")))
}

/// Whether a common word is a name as well.
pub(super) fn may_be_name(word: &str) -> bool {
    NAMES.contains(&word.to_lowercase().as_str())
}

/// Cuts a text without spaces into words of the list and what is between them: each part, and whether it is of the list.
pub(super) fn cut(run: &str) -> Vec<(&str, bool)> {
    let mut parts: Vec<(&str, bool)> = Vec::new();
    let (mut rest, mut unknown) = (run, 0);
    while let Some(after) = rest.get(unknown..).filter(|after| !after.is_empty()) {
        let ends = after.char_indices().map(|(at, c)| at + c.len_utf8()).take(DENSE_CHARS_MAX);
        let longest = ends.filter(|end| after.get(..*end).is_some_and(|word| DENSE.contains(word))).last();
        match longest {
            None => unknown += after.chars().next().map_or(1, char::len_utf8),
            Some(length) => {
                let (before, from) = rest.split_at(unknown);
                let (word, next) = from.split_at(length);
                parts.extend((!before.is_empty()).then_some((before, false)));
                parts.push((word, true));
                (rest, unknown) = (next, 0);
            }
        }
    }
    parts.extend((!rest.is_empty()).then_some((rest, false)));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_writes_is_common_and_names_are_not() {
        for word in [
            "Unfortunately",
            "cards",
            "replied",
            "stopped",
            "charges",
            "verification",
            "possibly",
            "WE",
            "making",
        ] {
            assert!(is_common_word(word), "{word}");
        }
        for word in ["Kowalski", "zebra", "Kim", "x", "", "é", "ing", "Mülleres"] {
            assert!(!is_common_word(word), "{word}");
        }
    }

    #[test]
    fn chinese_is_cut_at_common_words() {
        let parts =
            |run| cut(run).into_iter().map(|(part, is_known)| format!("{part}{}", u8::from(is_known)));
        assert_eq!(parts("王小明您好").collect::<Vec<_>>().join(" "), "王0 小1 明0 您好1");
        assert_eq!(parts("您的退款").collect::<Vec<_>>().join(" "), "您的1 退款1");
        assert_eq!(cut(""), []);
    }
}
